"""Renders benchmarks for a terminal: ratios first, then absolute numbers."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compare.terminal.screen import titled_table

__all__ = [
    "absolute_table", "changes_table", "check_cost_table", "detection_table", "others_table",
    "ratio_head", "ratio_note", "ratio_row", "scalar_table",
]  # fmt: skip

_OTHERS = {
    "autodiff": "jax.grad",
    "autodiff_same_forward": "same forward",
    "torch": "torch",
    "torch_compiled": "torch.compile",
    "numpy": "numpy",
    "scalar": "scalar engine",
}


def ratio_head() -> RenderableType:
    """Builds the head of the table of ratios, whose rows `ratio_row` builds as they are there."""
    return _ratios(head=True)


def ratio_row(rows: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds one subject's row: manual's time and memory over those of jax.grad."""
    by_engine = {row["engine"]: row for row in rows}
    manual, memory = by_engine["manual"], by_engine["autodiff"]["temp_ratio"]
    limit = manual.get("limit_ms")
    table = _ratios(head=False)
    table.add_row(
        escape(f"{manual['model']} {manual['batch']}"),
        f"{manual['median_ms']:.3f}",
        _ratio(by_engine["autodiff"]),
        _ratio(by_engine.get("autodiff_same_forward")),
        "–" if memory is None else Text(f"{memory:.2f}", style=_style(memory)),
        "–" if limit is None else f"{limit / manual['median_ms']:.0%}",
    )
    return Padding(table, (0, 0, 0, 1))


def _ratios(*, head: bool) -> Table:
    """Builds the table of ratios, its columns as wide whatever is in them."""
    title = "manual's time and memory over that of jax.grad"
    table = titled_table(title) if head else Table.grid(padding=(0, 2, 0, 0))
    table.expand = True
    table.add_column("subject", overflow="fold", ratio=1)
    columns = (("ms", 8), ("time", 11), ("same\nforward", 11), ("memory", 6), ("of the\nlimit", 6))
    for name, width in columns:
        table.add_column(name, justify="right", no_wrap=True, width=width)
    return table


def ratio_note() -> Text:
    """Writes what the table of ratios shows."""
    return Text(
        "Medians of interleaved runs, ± half the range of the middle half of the rounds' ratios. "
        "jax.grad differentiates the forward pass as flax writes it, same forward ours. memory: "
        "temporary, – where jax.grad needs none. of the limit: the least time in which the device "
        "can read each input and write each output once, or do the matrix products, over manual's; "
        "it is beaten where arrays stay in a cache.\n",
        style="dim",
    )


def others_table(results: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the table of manual's time over that of other engines than JAX, if any were timed."""
    rows = [row for row in results if row["engine"] in ("torch", "torch_compiled", "numpy")]
    if not rows:
        return Group()
    table = titled_table("manual's time over that of others on the same device")
    table.add_column("subject", overflow="fold", ratio=1)
    for name in ("size", "engine"):
        table.add_column(name, no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for row in rows:
        engine = _OTHERS.get(row["engine"], row["engine"])
        table.add_row(escape(row["model"]), escape(row["batch"]), engine, _ratio(row))
    return table


def scalar_table(results: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the table of the scalar engine's time over manual's, and for each parameter."""
    rows = [row for row in results if row["engine"] == "scalar"]
    if not rows:
        return Group()
    table = titled_table("the scalar engine: its time over manual's")
    table.add_column("subject", overflow="fold", ratio=1)
    for name in ("size", "parameters", "times", "µs a\nparameter"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        each = 1000 * row["median_ms"] / row["parameters"]
        table.add_row(
            escape(row["model"]), escape(row["batch"]), f"{row['parameters']:,}",
            f"{1 / row['ratio']:,.0f}", f"{each:.1f}",
        )  # fmt: skip
    return table


def absolute_table(results: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the table of milliseconds and KiB, a row for each subject, size and engine."""
    table = titled_table("milliseconds of one run, of compiling; temporary memory")
    table.add_column("subject", overflow="fold", ratio=1)
    table.add_column("size", overflow="fold")
    table.add_column("engine", no_wrap=True)
    for name in ("median", "least", "compile", "KiB"):
        table.add_column(name, justify="right", no_wrap=True)
    for (model, batch), rows in _subjects(results):
        for i, row in enumerate(rows):
            table.add_row(
                escape(model) if i == 0 else "",
                escape(batch) if i == 0 else "",
                _OTHERS.get(row["engine"], row["engine"]),
                f"{row['median_ms']:.3f}",
                f"{row['min_ms']:.3f}",
                "–" if row["compile_ms"] is None else f"{row['compile_ms']:.0f}",
                "–" if row["temp_bytes"] is None else f"{row['temp_bytes'] / 1024:.0f}",
            )
    return table


def changes_table(changes: Sequence[dict[str, Any]], runs: int) -> RenderableType:
    """Builds the table of ratios that have changed since earlier runs, and their count.

    With several earlier runs every ratio has a row, and their spread.
    """
    changed = [row for row in changes if row["change"]]
    total = f"{len(changed)} of {len(changes)} ratios have changed by more than their spread"
    if not changed and runs == 1:
        return Text(total, style="bold green")
    table = titled_table("manual's time over that of another: then and now")
    table.add_column("subject", overflow="fold", ratio=1)
    for name in ("size", "over", "then", "now", ""):
        table.add_column(name, justify="right" if name in ("then", "now") else "left")
    for row in changed if runs == 1 else changes:
        style = {"slower": "bold red", "faster": "green"}.get(row["change"], "")
        spread = f" ({row['low']:.2f}–{row['high']:.2f})" if runs > 1 else ""
        table.add_row(
            escape(row["model"]), escape(row["batch"]), _OTHERS[row["engine"]],
            f"{row['then']:.2f}{spread}", f"{row['now']:.2f}", Text(row["change"], style=style),
        )  # fmt: skip
    return Group(table, Text(total, style="bold" if changed else "bold green"))


def check_cost_table(results: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the table of what checking a gradient costs, a row for each subject and method."""
    table = titled_table("what checking a gradient costs, from the first call on")
    table.add_column("subject\nmethod", overflow="fold", ratio=1)
    for name in ("seconds", "ratio", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("says", no_wrap=True)
    for (model, batch), rows in _subjects(results):
        table.add_row(Text(f"{model}, batch {batch}", style="bold"))
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
        table.add_section()
    off = [row for row in results if not row["right"]]
    named = sum("constant_factor" in row["message"] for row in off)
    note = Text(
        "Each in a process of its own, imports aside. ratio: the seconds over those of compiling "
        "jax.value_and_grad and running it once. MB: the largest memory of the process. ✗: what "
        "the method says is not so. ×1.5: of a gradient that is off by this factor, which is named "
        f"in {named} of {len(off)}.\n",
        style="dim",
    )
    return Group(table, note)


def _says(row: dict[str, Any]) -> Text:
    """Formats what a method says of a gradient, with a cross if it is mistaken."""
    if row["says"] not in ("right", "wrong"):
        return Text(row["says"] or "–", style="red" if row["says"] == "error" else "")
    mistaken = row["right"] != (row["says"] == "right")
    return Text(f"{row['says']} ✗", style="red") if mistaken else Text(row["says"])


def detection_table(results: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the table of what each method finds in a gallery, and the list of its errors."""
    table = titled_table("what is found in the gallery of mutants and its right gradients")
    table.add_column("method", overflow="fold", ratio=1)
    for name in ("wrong ones\ndetected", "right ones\ncalled wrong", "errors", "ms for\none"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in results:
        missed = row["detected"] < row["wrong"]
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
    note = Text(
        "All judge by their own default tolerances. errors: the method raised another error than "
        "one that calls the gradient wrong, each listed below.",
        style="dim",
    )
    errors = [
        Text(f"{row['engine']}: {message}", style="dim", overflow="ellipsis", no_wrap=True)
        for row in results
        for message in row["messages"]
    ]
    return Group(table, note, *errors)


def _subjects(results: Sequence[dict[str, Any]]) -> Any:
    return groupby(results, key=lambda row: (row["model"], row["batch"]))


def _ratio(row: dict[str, Any] | None) -> Text:
    """Formats a ratio and its spread; red if manual is slower by more than the spread."""
    if row is None:
        return Text("–")
    half = (row["ratio_high"] - row["ratio_low"]) / 2
    style = "red" if row["ratio_low"] > 1.0 else _style(row["ratio"])
    return Text(f"{row['ratio']:.2f} ±{half:.2f}", style=style)


def _style(ratio: float) -> str:
    return "green" if ratio <= 0.95 else ""
