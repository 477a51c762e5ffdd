"""Renders the progress of a learner for a terminal."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["bar", "line"]

_STYLES = {"solved": "green", "unfinished": "yellow", "wrong": "bold red"}
_WORDS = {"solved": "solved", "unfinished": "to be written", "wrong": "not right yet"}


def line(number: int, title: str, state: str, learned: str) -> RenderableType:
    """Writes one exercise, what came of it, and what was learned with it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True, width=3)
    table.add_column(no_wrap=True, width=max(map(len, _WORDS.values())))
    table.add_column()
    table.add_row(str(number), Text(_WORDS[state], _STYLES[state]), Text(title))
    if learned:
        table.add_row("", "", Text(learned, style="dim"))
    return table


def bar(solved: int, of: int) -> Text:
    """Draws how many are solved."""
    text = Text("\n[").append("#" * solved, "green").append("." * (of - solved))
    return text.append(f"] {solved} of {of} solved")
