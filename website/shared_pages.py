"""Pages of the site that stand elsewhere in the repository: README, CONTRIBUTING, the examples."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["mended", "pages"]

ROOT = Path(__file__).parents[1]
_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def pages() -> Iterator[tuple[str, str]]:
    """Makes these pages: (path, Markdown)."""
    for source, path in _PAGES.items():
        yield path, (ROOT / source).read_text(encoding="utf-8")
    yield "examples.md", _examples()


def mended(markdown: str) -> str:
    """Writes a page's links as they are within the site: docs/ is its root."""
    markdown = re.sub(r"\]\((?:\.\./)?docs/", "](", markdown)
    markdown = re.sub(r"\]\((?:\.\./)?examples\)", "](examples.md)", markdown)
    for source, path in _PAGES.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{re.escape(source)}", f"]({path}", markdown)
    return markdown


def _examples() -> str:
    parts = ["# Short programs", "Programs to start from; the tests run them as they are."]
    for file in sorted((ROOT / "examples").glob("*.py")):
        code = file.read_text(encoding="utf-8")
        module = ast.parse(code)
        told = ast.get_docstring(module) or ""
        title, _, more = told.partition("\n\n")
        body = "\n".join(code.splitlines()[module.body[0].end_lineno :]).strip()
        more = re.sub(r"(?s)Run it with: (.*)", r"Run it with `\1`.", more)
        parts += [f"## {title.rstrip('.')}", more, f"```python\n{body}\n```"]
    return "\n\n".join(parts)
