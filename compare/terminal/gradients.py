"""Renders comparisons of gradients for a terminal: a table, and the verdict below it."""

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from compare.checker.gradient_report import GradientReport
from compare.checker.leaf import Leaf
from compare.escapes import escaped
from compare.terminal.screen import titled_table

__all__ = ["LEGEND", "gradient_table", "verdict"]

LEGEND = Text(
    "A cell: the largest error of any entry, and its share of what rounding explains.\n"
    "▸ marks the worst leaf. Any dtype is held against the float64 gradient.\n",
    style="dim",
)
"""How to read `gradient_table`."""


def gradient_table(title: str, reports: Sequence[GradientReport]) -> Table:
    """Builds a table with a row for each leaf and a column for each report.

    A cell is the largest error of any entry and its share of the tolerance. The worst leaf of each
    report is marked.
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
        table.add_row(
            escape(escaped(leaf.path)), "×".join(map(str, leaf.shape)) or "scalar", *cells
        )
    table.add_section()
    table.add_row("verdict", "", *(_verdict_text(report) for report in reports))
    return table


def verdict(reports: Sequence[GradientReport], unchecked: int = 0) -> RenderableType:
    """Writes the last lines: whether and how many comparisons agree, and the error they detect.

    Args:
        reports: of the comparisons.
        unchecked: how many more there should have been.
    """
    wrong = [report for report in reports if not report.agree]
    count = len(reports) + unchecked
    missing = f"; {unchecked} could not be made" if unchecked else ""
    if wrong:
        text = f"DISAGREE: {len(wrong)} of {count} comparisons{missing}"
        return Text(text, style="bold white on red")
    least = max(report.detectable for report in reports)
    caught = f"In each comparison an error of {least:.0e} in any one entry would have been caught."
    if unchecked:
        text = f"INCOMPLETE: {len(reports)} of {count} comparisons agree{missing}"
        return Group(Text(caught), Text(text, style="bold yellow"))
    return Group(Text(caught), Text(f"AGREE: {count} of {count} comparisons", style="bold green"))


def _longest(reports: Sequence[GradientReport]) -> tuple[Leaf, ...]:
    return max((report.leaves for report in reports), key=len)


def _cell(report: GradientReport, i: int) -> Text:
    """Formats the error of a leaf and its share of the tolerance, with a mark at the worst leaf."""
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
