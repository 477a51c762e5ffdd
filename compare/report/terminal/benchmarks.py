"""Renders benchmarks for a terminal: ratios first, then absolute numbers."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from compare.report.terminal.screen import titled_table

__all__ = ["absolute_table", "changes_table", "ratio_table"]

_OTHERS = {
    "autodiff": "jax.grad",
    "autodiff_same_forward": "same forward",
    "torch": "torch",
    "numpy": "numpy",
}


def ratio_table(results: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the tables of ratios: manual's time and memory over those of other engines."""
    table = titled_table("manual's time and memory over that of jax.grad")
    table.add_column("subject", overflow="fold", ratio=1)
    table.add_column("size", no_wrap=True)
    for name in ("time", "same\nforward", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for (model, batch), rows in _subjects(results):
        by_engine = {row["engine"]: row for row in rows}
        memory = by_engine["autodiff"]["temp_ratio"]
        table.add_row(
            escape(model),
            escape(batch),
            _ratio(by_engine["autodiff"]),
            _ratio(by_engine.get("autodiff_same_forward")),
            "–" if memory is None else Text(f"{memory:.2f}", style=_style(memory)),
        )
    note = Text(
        "Medians of interleaved runs, ± half the range of the middle half of the rounds' ratios. "
        "jax.grad differentiates the forward pass as flax writes it, same forward ours. memory: "
        "temporary, – where jax.grad needs none.\n",
        style="dim",
    )
    return Group(table, note, *_others(results))


def _others(results: Sequence[dict[str, Any]]) -> list[RenderableType]:
    """Builds the table of manual's time over that of other engines than JAX, if any were timed."""
    rows = [row for row in results if row["engine"] in ("torch", "numpy")]
    if not rows:
        return []
    table = titled_table("manual's time over that of others, eager on the same cores")
    table.add_column("subject", overflow="fold", ratio=1)
    for name in ("size", "engine"):
        table.add_column(name, no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(escape(row["model"]), escape(row["batch"]), row["engine"], _ratio(row))
    return [table]


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


def changes_table(changes: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the table of ratios that have changed since an earlier run, and their count."""
    changed = [row for row in changes if row["change"]]
    total = f"{len(changed)} of {len(changes)} ratios have changed by more than their spread"
    if not changed:
        return Text(total, style="bold green")
    table = titled_table("manual's time over that of another: then and now")
    table.add_column("subject", overflow="fold", ratio=1)
    for name in ("size", "over", "then", "now", ""):
        table.add_column(name, justify="right" if name in ("then", "now") else "left")
    for row in changed:
        style = "bold red" if row["change"] == "slower" else "green"
        table.add_row(
            escape(row["model"]), escape(row["batch"]), _OTHERS[row["engine"]],
            f"{row['then']:.2f}", f"{row['now']:.2f}", Text(row["change"], style=style),
        )  # fmt: skip
    return Group(table, Text(total, style="bold"))


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
