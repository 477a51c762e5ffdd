"""Renders published claims for a terminal: claimed beside measured."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

__all__ = ["article_table", "last_line"]


def article_table(title: str, rows: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the table of one article, a row for each claim, with the notes on them below.

    A measurement that both methods share is written once. If a claim was measured a second time,
    with a setting that makes it hold, the second row names that setting.
    """
    table = Table(
        title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True, width=80,
    )  # fmt: skip
    table.add_column("claim", ratio=5)
    table.add_column("claimed", ratio=4)
    table.add_column("measured", ratio=6)
    table.add_column("holds", no_wrap=True, width=6)
    for _, group in groupby(rows, key=lambda row: (row["claim"], row["published"])):
        by_method = list(group)
        first = by_method[0]
        claim = first["claim"] if first["published"] else f"  again: {first['settings']}"
        table.add_row(
            escape(claim),
            escape(first["claimed"]),
            escape(_measured(by_method)),
            _holds(by_method),
        )
    notes = dict.fromkeys(row["note"] for row in rows if row["note"])
    about = {
        note: ", ".join(dict.fromkeys(row["claim"] for row in rows if row["note"] == note))
        for note in notes
    }
    lines = [Text(f"{claims}: {note}", style="dim") for note, claims in about.items()]
    return Group(table, *lines)


def _measured(by_method: Sequence[dict[str, Any]]) -> str:
    if len({row["measured"] for row in by_method}) == 1:
        return by_method[0]["measured"]
    return "\n".join(f"{row['method']}: {row['measured']}" for row in by_method)


def _holds(by_method: Sequence[dict[str, Any]]) -> Text:
    words = {True: "yes", False: "no", None: "–"}
    outcomes = list(dict.fromkeys(row["holds"] for row in by_method))
    style = "green" if outcomes == [True] else "bold red" if len(outcomes) > 1 else "yellow"
    return Text("/".join(words[outcome] for outcome in outcomes), style=style)


def last_line(hold: int, fail: int, unjudged: int, disagreements: Sequence[str]) -> Text:
    """Writes the last line: how many published claims hold, and on which the methods disagree.

    Args:
        hold: the number of published claims that hold.
        fail: the number that do not.
        unjudged: the number that a short run cannot judge.
        disagreements: the claims on which manual and autodiff disagree.
    """
    rest = f", {unjudged} not judged in a short run" if unjudged else ""
    text = f"MEASURED: {hold} of {hold + fail} published claims hold{rest}"
    if not disagreements:
        return Text(text, style="bold green")
    parts = "; ".join(disagreements)
    return Text(f"{text}; manual and autodiff DISAGREE: {parts}", style="bold white on red")
