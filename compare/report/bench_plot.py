"""Benchmarks as a bar chart in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["INSTALL_REPORT", "save"]

INSTALL_REPORT = "pip install 'handgrad[report]'"
"""What to type where matplotlib is missing."""


def save(results: Sequence[dict[str, Any]], file: Path) -> None:
    """One bar for each subject and size: manual's time over that of `jax.grad`, 1 marked.

    Args:
        results: as the JSON has them.
        file: its suffix says the format: .svg, .png, .pdf.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: matplotlib does not know the suffix.
    """
    from matplotlib.figure import Figure

    rows = [row for row in results if row["engine"] == "autodiff"]
    figure = Figure(figsize=(8, 1 + 0.22 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['model']}, {row['batch']}" for row in rows]
    ratios = [row["ratio"] for row in rows]
    spread = [
        [max(0.0, row["ratio"] - row["ratio_low"]) for row in rows],
        [max(0.0, row["ratio_high"] - row["ratio"]) for row in rows],
    ]
    colours = ["#0072B2" if row["ratio_low"] <= 1 else "#D55E00" for row in rows]
    axes.barh(names, ratios, xerr=spread, color=colours, ecolor="#555555", height=0.7)
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.01)
    axes.set_xlabel("manual's time over that of jax.grad (less is faster)")
    figure.savefig(file)
