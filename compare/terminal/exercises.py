"""Renders the progress of a learner for a terminal."""

from rich.console import Group
from rich.text import Text

__all__ = ["bar", "line"]

_STYLES = {"solved": "green", "unfinished": "yellow", "wrong": "bold red"}
_WORDS = {"solved": "solved", "unfinished": "to be written", "wrong": "not right yet"}


def line(number: int, title: str, state: str, learned: str) -> Group:
    """Writes one exercise, what came of it, and what was learned with it."""
    first = Text(f"{number:>3}  {title:<56} ").append(_WORDS[state], _STYLES[state])
    return Group(first, Text(f"     {learned}", style="dim")) if learned else Group(first)


def bar(solved: int, of: int) -> Text:
    """Draws how many are solved."""
    text = Text("\n[").append("#" * solved, "green").append("." * (of - solved))
    return text.append(f"] {solved} of {of} solved")
