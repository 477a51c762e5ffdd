"""The section on derivations: the docstrings of the rules, cut into equations and sentences."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["view"]


class Piece(NamedTuple):
    """A piece of a docstring.

    Attributes:
        kind: `text`, `item` of a list, or `equation`, whose line breaks are kept.
        text: its lines.
    """

    kind: str
    text: str


def view(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collects each rule or model once, its docstrings cut into pieces."""
    found = {own["rule"]: own for document in documents for own in document.get("derivations", [])}
    return [
        {
            "rule": rule.removeprefix("manual."),
            "is_model": rule.startswith("manual."),
            "about": _pieces(own.get("about", "")),
            "fwd": _pieces(own["fwd"]),
            "bwd": _pieces(own["bwd"]),
        }
        for rule, own in found.items()
    ]


# These sections are for callers, and the page is for readers of the mathematics.
_CALLERS = re.compile(r"^(Args|Raises|Returns|Yields|Attributes):\n(?:[ \n].*\n?)*", re.MULTILINE)


def _pieces(docstring: str) -> list[Piece]:
    """Cuts a docstring into pieces; lines that are indented by four or more are equations."""
    runs: list[tuple[str, list[str]]] = []
    for line in _CALLERS.sub("", docstring).strip().splitlines():
        kind = _kind(line)
        if kind == "item" or not runs or not _continues(runs[-1][0], kind):
            runs.append((kind, []))
        runs[-1][1].append(line)
    return [Piece(kind, _text(kind, lines)) for kind, lines in runs if kind != "blank"]


def _kind(line: str) -> str:
    if not line.strip():
        return "blank"
    if line.startswith("    "):
        return "equation"
    return "item" if line.startswith("- ") else "text"


def _continues(kind: str, following: str) -> bool:
    return kind == following or (kind == "item" and following == "text")


def _text(kind: str, lines: list[str]) -> str:
    if kind == "equation":
        return textwrap.dedent("\n".join(lines))
    return " ".join(line.strip() for line in lines).removeprefix("- ")
