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
    "absolute_table", "changes_table", "others_table", "ratio_head", "ratio_note", "ratio_row",
    "scalar_table",
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
        "jax.grad differentiates the forward pass as flax writes it, same forward ours (not with "
        "--quick). memory: "
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
