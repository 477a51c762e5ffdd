"""Renders what checking a gradient costs and finds, by method: a row as soon as it is there."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compare.terminal.screen import titled_table

__all__ = [
    "cost_head",
    "cost_note",
    "cost_rows",
    "detection_head",
    "detection_note",
    "detection_row",
]


def cost_head() -> RenderableType:
    """Builds the head of the table of what a check costs, whose rows `cost_rows` builds."""
    return _costs(titled_table("what checking a gradient costs, from the first call on"))


def cost_rows(rows: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the rows of one subject, one for each method."""
    table = _costs(_grid())
    table.add_row(Text(f"{rows[0]['model']}, batch {rows[0]['batch']}", style="bold"))
    for row in rows:
        seconds = row["median_ms"] and row["median_ms"] / 1000
        late = f"> {row['limit_s']:.0f}" if row["says"] == "too slow" else "–"
        table.add_row(
            escape(f"  {row['engine']}"),
            late if seconds is None else f"{seconds:.2f}",
            "–" if row["ratio"] is None else f"{row['ratio']:.1f}",
            "–" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}",
            _says(row),
        )
    return Padding(table, (0, 0, 1, 1))


def cost_note(results: Sequence[dict[str, Any]]) -> Text:
    """Writes what the table of costs shows, and how many wrong gradients were named."""
    off = [row for row in results if not row["right"]]
    named = sum("constant_factor" in row["message"] for row in off)
    return Text(
        "Each in a process of its own, imports aside. ratio: the seconds over those of compiling "
        "jax.value_and_grad and running it once. MB: the largest memory of the process. ✗: what "
        "the method says is not so. ×1.5: of a gradient that is off by this factor, which is named "
        f"in {named} of {len(off)}.\n",
        style="dim",
    )


def detection_head() -> RenderableType:
    """Builds the head of the table of what is found in a gallery of gradients."""
    return _found(titled_table("what is found in the gallery of mutants and its right gradients"))


def detection_row(row: dict[str, Any]) -> RenderableType:
    """Builds the row of one method, and lists its errors below."""
    missed, table = row["detected"] < row["wrong"], _found(_grid())
    table.add_row(
        escape(row["engine"]),
        Text(f"{row['detected']} of {row['wrong']}", style="red" if missed else "green"),
        Text(
            f"{row['false_alarms']} of {row['correct']}",
            style="red" if row["false_alarms"] else "green",
        ),
        str(row["errors"]),
        "–" if row["median_ms"] is None else f"{row['median_ms']:.0f}",
    )
    errors = [
        Text(f"   {message}", style="dim", overflow="ellipsis", no_wrap=True)
        for message in row["messages"]
    ]
    return Group(Padding(table, (0, 0, 0, 1)), *errors)


def detection_note() -> Text:
    """Writes what the table of what is found shows."""
    return Text(
        "All judge by their own default tolerances. errors: the method raised another error than "
        "one that calls the gradient wrong, each listed under it.",
        style="dim",
    )


def _grid() -> Table:
    return Table.grid(padding=(0, 2, 0, 0))


def _costs(table: Table) -> Table:
    """Gives a table its columns, as wide whatever is in them."""
    table.expand = True
    table.add_column("subject\nmethod", overflow="fold", ratio=1)
    for name, width in (("seconds", 7), ("ratio", 6), ("MB", 5)):
        table.add_column(name, justify="right", no_wrap=True, width=width)
    table.add_column("says", no_wrap=True, width=8)
    return table


def _found(table: Table) -> Table:
    """Gives a table its columns, as wide whatever is in them."""
    table.expand = True
    table.add_column("method", overflow="fold", ratio=1)
    columns = (("wrong ones\ndetected", 10), ("right ones\ncalled wrong", 12), ("errors", 6))
    for name, width in (*columns, ("ms for\none", 6)):
        table.add_column(name, justify="right", no_wrap=True, width=width)
    return table


def _says(row: dict[str, Any]) -> Text:
    """Formats what a method says of a gradient, with a cross if it is mistaken."""
    if row["says"] not in ("right", "wrong"):
        return Text(row["says"] or "–", style="red" if row["says"] == "error" else "")
    mistaken = row["right"] != (row["says"] == "right")
    return Text(f"{row['says']} ✗", style="red") if mistaken else Text(row["says"])
