"""Documents of checks: of one report, or of many; as JSON, as a page, and for a notebook."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compare.report import html, json_file

__all__ = ["document", "fragment", "save"]

ENDINGS = (".html", ".json")
"""How the name of a file ends that checks can be written to: a page, or JSON."""


def document(
    results: Sequence[dict[str, Any]], derivations: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Builds the document of these checks, made in this process or in one like it.

    Args:
        results: reports in JSON's types, one or more.
        derivations: the docstrings of what was checked; each is taken once.
    """
    precisions = ", ".join(dict.fromkeys(result["precision"] for result in results))
    each_once = {tuple(sorted(own.items())): dict(own) for own in derivations}
    return json_file.document(
        "check", json_file.environment(precisions), results, derivations=list(each_once.values())
    )


def save(
    path: Path,
    results: Sequence[dict[str, Any]],
    derivations: Sequence[Mapping[str, str]] = (),
    *,
    suffix: str | None = None,
) -> None:
    """Writes checks to a file, whole or not at all.

    Args:
        path: ends with .html for a page or .json for the document.
        results: as in `document`.
        derivations: as in `document`.
        suffix: what it is, whatever the name ends with; None to go by the name.

    Raises:
        ValueError: it ends otherwise.
        ImportError: a page needs Jinja2, and matplotlib where a matrix is wrong.
        OSError: the file cannot be written; what it held before is untouched.
    """
    suffix = suffix or _ending(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")
    found = document(results, derivations)
    if suffix == ".json":
        json_file.write(path, found)
    else:
        html.write(path, [found])


def _ending(path: Path) -> str:
    """Returns how a name ends.

    Raises:
        ValueError: its ending is none of `ENDINGS`.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path}: a report is written as .html or .json; choose one of these")
    return path.suffix


def fragment(
    results: Sequence[dict[str, Any]], derivations: Sequence[Mapping[str, str]] = ()
) -> str | None:
    """Renders checks for a notebook's cell; None where a library that this needs is missing."""
    try:
        return html.fragment([document(results, derivations)])
    except ImportError:
        return None
