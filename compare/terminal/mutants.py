"""Renders the runs of the checker against wrong gradients for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["LEGEND", "NAMED_WIDTH", "mutant_head", "mutant_row", "totals"]

LEGEND = Text(
    "named: what the checker calls the mistake; – where no name fits. line: which of\n"
    "the lines it suspects is the true one, 1. the first; – where it suspects none.",
    style="dim",
)
"""How to read the table."""

NAMED_WIDTH = 31
"""The letters of the longest name of a mistake."""


def mutant_head() -> RenderableType:
    """Builds the head of the table whose rows `mutant_row` builds as they are there."""
    return _columns(Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True))


def mutant_row(run: dict[str, Any], width: int) -> RenderableType:
    """Builds the row of one wrong gradient: is it detected, and its mistake named?

    Args:
        run: what came of it.
        width: of the terminal; a name that is too long for its column has a line of its own.
    """
    table = _columns(Table.grid(padding=(0, 2, 0, 0)))
    name = Text(run["mutant"], no_wrap=True)
    alone = len(name) > width - 2 - sum(own + 2 for own in (*_WIDTHS.values(), _SECONDS))
    named = run["named"] or ("–" if run["right"] is None else "not named")
    wrong = run["right"] is False
    table.add_row(
        "" if alone else name,
        "yes" if run["detected"] else Text("NO", style="bold red"),
        Text(named, style="bold red" if run["named"] and wrong else "yellow" if wrong else ""),
        _line(run.get("line")),
        f"{run['seconds']:.1f}",
    )
    rows = Group(name, table) if alone else table
    return Padding(rows, (0, 1))


def _columns(table: Table) -> Table:
    """Gives a table its columns, as wide whatever is in them."""
    table.expand = True
    table.add_column("mutant", overflow="fold", ratio=1)
    for name, width in _WIDTHS.items():
        table.add_column(name, overflow="fold", width=width)
    table.add_column("s", justify="right", no_wrap=True, width=_SECONDS)
    return table


_WIDTHS, _SECONDS = {"detected": 8, "named": NAMED_WIDTH, "line": 4}, 5


def _line(place: int | None) -> Text:
    """Tells which of the suspected lines is the true one."""
    if place is None:
        return Text("–")
    return Text(f"{place}." if place else "none", style="" if place else "yellow")


def totals(runs: Sequence[dict[str, Any]]) -> Group:
    """Writes how many wrong gradients are detected, and how many mistakes and lines are told."""
    detected = sum(run["detected"] for run in runs)
    nameable = [run for run in runs if run["expected"]]
    named = sum(bool(run["right"]) for run in nameable)
    wrong = sum(run["right"] is False and run["named"] is not None for run in runs)
    confirmed = sum(run["confirmed"] for run in runs if run["named"])
    total = sum(bool(run["named"]) for run in runs)
    done = detected == len(runs) and not wrong
    places = [run["line"] for run in runs if run.get("line") is not None]
    first = sum(1 <= place <= 3 for place in places)
    return Group(
        Text(f"\nnamed {named} of {len(nameable)} whose bug has a name; {wrong} wrong names; "
             f"{confirmed} of {total} names confirmed"),
        Text(f"the true line among the first three suspects: {first} of {len(places)}"),
        Text(f"DETECTED: {detected} of {len(runs)} wrong gradients",
             style="bold green" if done else "bold white on red"),
    )  # fmt: skip
