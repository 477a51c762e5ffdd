"""Results as tables in a terminal."""

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from compare.checker.gradient_report import GradientReport, Leaf

__all__ = [
    "LEGEND", "console", "gradient_table", "header", "mutant_table", "progress", "titled_table",
    "verdict"
]  # fmt: skip


def header(environment: dict[str, Any], datasets: Sequence[str], notes: Sequence[str]) -> Group:
    """What was compared, where, and on which data."""
    e = environment
    device = e["platform"] if e["platform"] == e["device_kind"] else (
        f"{e['platform']} ({e['device_kind']})"
    )  # fmt: skip
    lines = [
        Text("handgrad: gradients derived by hand, against jax.grad", style="bold"),
        Text(
            f"{device} · jax {e['jax']} · matmul precision {e['matmul_precision']} · "
            f"data {', '.join(datasets)}"
        ),
        *(Text(note, style="yellow") for note in notes if note),
    ]
    return Group(*lines)


LEGEND = Text(
    "A cell: the largest error of any entry, and its share of what rounding explains.\n"
    "▸ marks the worst leaf. Any dtype is held against the float64 gradient.\n",
    style="dim",
)
"""How to read `gradient_table`."""


def titled_table(title: str) -> Table:
    """An empty table as all of ours look, the title on its left."""
    return Table(
        title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip


def gradient_table(title: str, reports: Sequence[GradientReport]) -> Table:
    """One row for each leaf, one column for each report; the worst leaf of each is marked.

    A cell is the largest error of any entry, and what share of the tolerance it uses.
    """
    table = titled_table(title)
    table.add_column("leaf", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    for report in reports:
        mode = "jit" if report.jit else "no jit"
        table.add_column(f"{report.dtype}\n{mode}", justify="right", no_wrap=True)
    table.add_row("loss", "", *(f"{report.loss.manual:.6g}" for report in reports))
    for i, leaf in enumerate(_longest(reports)):
        cells = [_cell(report, i) for report in reports]
        table.add_row(escape(leaf.path), "×".join(map(str, leaf.shape)) or "scalar", *cells)
    table.add_section()
    table.add_row("verdict", "", *(_verdict_text(report) for report in reports))
    return table


def mutant_table(runs: Sequence[dict[str, Any]]) -> Group:
    """One row for each wrong gradient, and the totals."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("mutant", "detected", "named"):
        table.add_column(name, overflow="fold")
    table.add_column("s", justify="right")
    for run in runs:
        named = run["named"] or ("–" if run["right"] is None else "not named")
        wrong = run["right"] is False
        table.add_row(
            escape(run["mutant"]),
            "yes" if run["detected"] else Text("NO", style="bold red"),
            Text(named, style="bold red" if run["named"] and wrong else "yellow" if wrong else ""),
            f"{run['seconds']:.1f}",
        )
    return Group(table, *_totals(runs))


def _totals(runs: Sequence[dict[str, Any]]) -> list[Text]:
    detected = sum(run["detected"] for run in runs)
    nameable = [run for run in runs if run["expected"]]
    named = sum(bool(run["right"]) for run in nameable)
    wrong = sum(run["right"] is False and run["named"] is not None for run in runs)
    confirmed = sum(run["confirmed"] for run in runs if run["named"])
    total = sum(bool(run["named"]) for run in runs)
    done = detected == len(runs) and not wrong
    return [
        Text(f"named {named} of {len(nameable)} whose bug has a name; {wrong} wrong names; "
             f"{confirmed} of {total} names confirmed"),
        Text(f"DETECTED: {detected} of {len(runs)} wrong gradients",
             style="bold green" if done else "bold white on red"),
    ]  # fmt: skip


def verdict(reports: Sequence[GradientReport]) -> RenderableType:
    """The last line: agree or not, and for how many."""
    wrong = [report for report in reports if not report.agree]
    if wrong:
        text = f"DISAGREE: {len(wrong)} of {len(reports)} comparisons"
        return Text(text, style="bold white on red")
    least = max(report.detectable for report in reports)
    return Group(
        Text(
            f"In each comparison an error of {least:.0e} in any one entry would have been caught."
        ),
        Text(f"AGREE: {len(reports)} of {len(reports)} comparisons", style="bold green"),
    )


def _longest(reports: Sequence[GradientReport]) -> tuple[Leaf, ...]:
    return max((report.leaves for report in reports), key=len)


def _cell(report: GradientReport, i: int) -> Text:
    """Error, share of the tolerance, and a mark at the worst leaf."""
    if i >= len(report.leaves):
        return Text("–")
    leaf = report.leaves[i]
    mark = "▸" if leaf is report.worst else " "
    style = "bold red" if not leaf.agrees else "bold" if leaf is report.worst else ""
    return Text(f"{mark}{leaf.max_abs:.1e} {_share(leaf.excess):>4}", style=style)


def _share(excess: float) -> str:
    if math.isnan(excess) or excess >= 10:
        return ">10×"
    return "<1%" if excess < 0.005 else f"{100 * excess:.0f}%"


def _verdict_text(report: GradientReport) -> Text:
    style = "bold green" if report.agree else "bold red"
    return Text(report.verdict, style=style)


def console(*, quiet: bool = False) -> Console:
    """Standard output: colour only in a terminal and without NO_COLOR; nothing if quiet."""
    return Console(highlight=False, quiet=quiet)


def progress(message: str) -> Status:
    """A spinner on standard error while something runs; nothing where that is no terminal."""
    return Console(stderr=True).status(message)
