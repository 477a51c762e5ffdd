"""A page for each module that has public names, which mkdocstrings fills in."""

import ast
from collections.abc import Iterator
from pathlib import Path

from website import rule_pages

__all__ = ["pages", "public_names"]

ROOT = Path(__file__).parents[1]


def public_names() -> dict[str, list[str]]:
    """Lists the public names of each module of manual and autodiff, and of each face of compare.

    The rules are left out: each of them, with its halves, has a page of its own.
    """
    rules = {name for names in rule_pages.subjects().values() for name in names}
    halves = {f"{rule}{half}" for rule in rules for half in ("", "_fwd", "_bwd")}
    found = {}
    left = list(_files())
    while left:
        file = left.pop(0)
        names = [name for name in _all_of(file) if name not in halves]
        modules = {name: module for name in names if (module := _submodule(file, name))}
        left = [*modules.values(), *left]
        own = [name for name in names if name not in modules]
        if own:
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = own
    return found


def pages() -> Iterator[tuple[str, str]]:
    """Makes the page of each module: (path, Markdown)."""
    for module, names in public_names().items():
        members = "".join(f"\n        - {name}" for name in names)
        yield (
            f"reference/{module}.md",
            f"# {module}\n\n::: {module}\n    options:\n      show_root_heading: false\n"
            f"      show_root_toc_entry: false\n      members:{members}\n",
        )


def _files() -> Iterator[Path]:
    """The modules that people import from: those with an underscore are not."""
    for package in ("manual", "autodiff"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if file.name == "__init__.py" or not file.name.startswith("_"):
                yield file
    yield ROOT / "compare" / "__init__.py"
    yield from sorted((ROOT / "compare").glob("*/__init__.py"))


def _submodule(face: Path, name: str) -> Path | None:
    """The module of this name beside a face: it has a page of its own, with the names in it."""
    if face.name != "__init__.py":
        return None
    files = (face.parent / f"{name}.py", face.parent / name / "__init__.py")
    return next((file for file in files if file.exists()), None)


def _all_of(file: Path) -> list[str]:
    """What `__all__` lists."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []
