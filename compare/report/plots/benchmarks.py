"""Draws benchmarks as a bar chart."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare.files import replacing
from compare.report.plots.figures import INK, MANUAL, MUTED, WRONG, empty, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["chart", "save"]


@styled
def chart(results: Sequence[dict[str, Any]]) -> "Figure":
    """Draws manual's time and memory over those of `jax.grad`, a bar for each subject and size.

    Args:
        results: those of `bench`, as in its JSON.

    Raises:
        ImportError: matplotlib is not installed.
    """
    rows = [row for row in results if row["engine"] == "autodiff"]
    figure, (time, memory) = empty(9, 1.1 + 0.24 * len(rows), 2)
    places = range(len(rows))
    ratios = [row["ratio"] for row in rows]
    spread = [
        [max(0.0, row["ratio"] - row["ratio_low"]) for row in rows],
        [max(0.0, row["ratio_high"] - row["ratio"]) for row in rows],
    ]
    colours = [MANUAL if row["ratio_low"] <= 1 else WRONG for row in rows]
    time.barh(places, ratios, xerr=spread, color=colours, ecolor=MUTED, height=0.7)
    # No bar where jax.grad needs no memory: there is no ratio.
    known = [(i, row["temp_ratio"]) for i, row in enumerate(rows) if row.get("temp_ratio")]
    memory.barh(
        [i for i, _ in known],
        [ratio for _, ratio in known],
        color=[MANUAL if ratio <= 1 else WRONG for _, ratio in known],
        height=0.7,
    )
    for axes, title, shown in (
        (time, "time", list(enumerate(ratios))),
        (memory, "temporary memory", known),
    ):
        axes.axvline(1, color=INK, linewidth=1)
        axes.set(title=title, xlabel="manual over jax.grad", yticks=places)
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, _END))
        axes.grid(visible=False, axis="y")
        for place, ratio in shown:
            if ratio > _END:
                axes.text(_END, place, f" {ratio:.1f}", va="center", fontsize=8)
    names = [f"{row['model']}, {row['batch']}" for row in rows]
    time.set_yticklabels(names, fontsize=8, parse_math=False)
    memory.set_yticklabels([])
    return figure


_END = 2.0
"""The end of the scale: a longer bar is cut off, and its number is written beside it."""


def save(results: Sequence[dict[str, Any]], file: Path) -> None:
    """Writes the chart to a file.

    Args:
        results: those of `bench`, as in its JSON.
        file: where to; its suffix sets the format: .svg, .png or .pdf.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written; what it held before is untouched.
        ValueError: matplotlib does not know the suffix.
    """
    with replacing(file) as draft:
        chart(results).savefig(draft, format=file.suffix.removeprefix("."))
