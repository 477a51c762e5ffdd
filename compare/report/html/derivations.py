"""Derivations: the docstrings of the rules, cut into equations and sentences."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["view"]


class Piece(NamedTuple):
    """A run of lines.

    Attributes:
        kind: `text`, `item` of a list, or `equation`, which keeps its lines as they are.
        text: the lines.
    """

    kind: str
    text: str


def view(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each rule or model once: what comes first of each docstring, and the rest of it."""
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


# What is for a caller and not for a reader of the mathematics.
_CALLERS = re.compile(r"^(Args|Raises|Returns|Yields|Attributes):\n(?:[ \n].*\n?)*", re.MULTILINE)


def _pieces(docstring: str) -> list[Piece]:
    """Lines that are indented by four or more are equations; others flow."""
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
