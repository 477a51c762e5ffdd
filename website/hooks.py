"""What mkdocs calls while it builds the site: adds the generated pages, and lists them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website import mistake_pages, notebook_pages, reference_pages, rule_pages, shared_pages

__all__ = ["on_config", "on_files", "on_page_markdown", "paths"]

DOCS = Path(__file__).parents[1] / "docs"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fills the sections of the navigation whose pages are generated; lists what stands nowhere."""
    assert config.nav is not None
    listed = set(paths(config.nav))
    filled = {
        "mistakes": _named(path for path, _ in mistake_pages.pages()),
        "rules": [
            {"All rules": "rules.md"},
            *(
                {subject.capitalize(): [{name: f"rules/{name}.md"} for name in names]}
                for subject, names in rule_pages.subjects().items()
            ),
            {"Models": [{name: f"rules/models/{name}.md"} for name in rule_pages.models()]},
        ],
        "notebooks": [{title: path} for path, title in notebook_pages.titles()],
        "reference": _named(path for path, _ in reference_pages.pages()),
    }
    nav = _filled(config.nav, filled)
    left = sorted({path.name for path in DOCS.glob("*.md")} - listed - {"rules.md"})
    config.nav = [*nav, {"Further": left}] if left else nav
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the pages that come from the source."""
    for generator in (
        shared_pages, rule_pages, mistake_pages, notebook_pages, reference_pages
    ):  # fmt: skip
        for path, text in generator.pages():
            files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Mends the links that lead out of docs/, and makes links of the names that tables list."""
    path = page.file.src_uri
    markdown = shared_pages.mended(markdown)
    if path == "checker.md":
        return re.sub(r"^\| `(\w+_\w+)` \|(?=.*`[\w-]+-[\w-]+` \|$)", r"| [`\1`](mistakes/\1.md) |",
                      markdown, flags=re.MULTILINE)  # fmt: skip
    if path == "rules.md":
        names = {name for names in rule_pages.subjects().values() for name in names}
        return re.sub(
            r"^\| [a-z].*$",
            lambda row: re.sub(r"`(\w+)`", lambda m: _rule_link(m, names), row[0]),
            markdown,
            flags=re.MULTILINE,
        )
    return markdown


def _rule_link(found: re.Match[str], names: set[str]) -> str:
    return f"[{found[0]}](rules/{found[1]}.md)" if found[1] in names else found[0]


def paths(nav: Iterable[Any]) -> Iterator[str]:
    """Lists every page of a navigation, in its order."""
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from paths(value) if isinstance(value, list) else [value]


def _filled(nav: list[Any], filled: dict[str, list[Any]]) -> list[Any]:
    """The navigation with a list in the place of each section's name."""
    result = []
    for entry in nav:
        if not isinstance(entry, dict):
            result.append(entry)
            continue
        ((title, value),) = entry.items()
        value = _filled(value, filled) if isinstance(value, list) else filled.get(value, value)
        result.append({title: value})
    return result


def _named(paths: Iterable[str]) -> list[Any]:
    """Pages under the names of their files; an index comes first, under a title of its own."""
    return [
        {"All of them": path} if path.endswith("index.md") else {Path(path).stem: path}
        for path in paths
    ]
