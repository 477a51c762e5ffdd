"""Renders the runs of the checker against wrong gradients for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

__all__ = ["mutant_table"]


def mutant_table(runs: Sequence[dict[str, Any]]) -> Group:
    """Builds the table, a row for each wrong gradient, and the totals below it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("mutant", "detected", "named", "line"):
        table.add_column(name, overflow="fold")
    table.add_column("s", justify="right")
    for run in runs:
        named = run["named"] or ("–" if run["right"] is None else "not named")
        wrong = run["right"] is False
        table.add_row(
            escape(run["mutant"]),
            "yes" if run["detected"] else Text("NO", style="bold red"),
            Text(named, style="bold red" if run["named"] and wrong else "yellow" if wrong else ""),
            _line(run.get("line")),
            f"{run['seconds']:.1f}",
        )
    return Group(table, *_totals(runs))


def _line(place: int | None) -> Text:
    """Which of the suspected lines is the true one."""
    if place is None:
        return Text("–")
    return Text(f"{place}." if place else "not among them", style="" if place else "yellow")


def _totals(runs: Sequence[dict[str, Any]]) -> list[Text]:
    detected = sum(run["detected"] for run in runs)
    nameable = [run for run in runs if run["expected"]]
    named = sum(bool(run["right"]) for run in nameable)
    wrong = sum(run["right"] is False and run["named"] is not None for run in runs)
    confirmed = sum(run["confirmed"] for run in runs if run["named"])
    total = sum(bool(run["named"]) for run in runs)
    done = detected == len(runs) and not wrong
    places = [run["line"] for run in runs if run.get("line") is not None]
    first = sum(1 <= place <= 3 for place in places)
    return [
        Text(f"named {named} of {len(nameable)} whose bug has a name; {wrong} wrong names; "
             f"{confirmed} of {total} names confirmed"),
        Text(f"the true line among the first three suspects: {first} of {len(places)}"),
        Text(f"DETECTED: {detected} of {len(runs)} wrong gradients",
             style="bold green" if done else "bold white on red"),
    ]  # fmt: skip
