"""Draws how gradients fade or grow by depth, how units die, and a learning-rate finder's curve."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare.files import replacing
from compare.report.plots.figures import AUTODIFF, INK, MANUAL, MUTED, WRONG, empty, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["dead_relus", "learning_rates", "norms", "save"]

Result = dict[str, Any]

_COLOURS = (AUTODIFF, MANUAL, WRONG, INK)
_LEAST = 1e-40
"""The end of the axis of norms: below it is what float32 has no normal numbers for."""


@styled
def norms(results: Sequence[Result]) -> "Figure":
    """Draws the norm of each layer's gradient: activations down, initialisations across.

    Raises:
        ImportError: matplotlib is not installed.
    """
    activations = list(dict.fromkeys(row["activation"] for row in results))
    initialisations = list(dict.fromkeys(row["initialisation"] for row in results))
    depths = list(dict.fromkeys(row["depth"] for row in results))
    figure, panels = empty(10, 2.1 * len(activations), (len(activations), len(initialisations)))
    for i, activation in enumerate(activations):
        for j, initialisation in enumerate(initialisations):
            axes, place = panels[i, j], (activation, initialisation)
            own = [row for row in results if (row["activation"], row["initialisation"]) == place]
            _norms_of(axes, own, depths)
            axes.set(yscale="log", ylim=(_LEAST, 1e3), xlim=(-0.03, 1.03), xticks=(0, 1))
            axes.set_xticklabels(["first", "last"] if i == len(activations) - 1 else [])
            axes.set_title(f"{initialisation}, {activation}", fontsize=10)
            if j:
                axes.set_yticklabels([])
            else:
                axes.set_ylabel("norm of ∂L/∂w")
    lines = panels[-1, -1].get_lines()
    labels = [f"{depth} hidden layers" for depth in depths]
    figure.legend(lines, labels, loc="outside upper left", ncols=len(depths), fontsize=9)
    return figure


def _norms_of(axes: Any, rows: Sequence[Result], depths: Sequence[int]) -> None:
    """Draws a line for each depth, from the first layer to the last; zeros are told in words."""
    zeros = [row["norms"].count(0) for row in rows]
    for row in rows:
        last = len(row["norms"]) - 1
        known = [(i / last, norm) for i, norm in enumerate(row["norms"]) if norm > 0]
        colour = _COLOURS[depths.index(row["depth"])]
        axes.plot(
            [x for x, _ in known], [y for _, y in known], color=colour, marker=".", markersize=4
        )
    if any(zeros):
        every = all(n == len(row["norms"]) for n, row in zip(zeros, rows, strict=True))
        text = "0 in every layer" if every else "0 in every layer\nbut the last"
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=MUTED)


@styled
def dead_relus(results: Sequence[Result]) -> "Figure":
    """Draws the share of hidden units that are dead, by step, a line for each learning rate.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure, axes = empty(8, 3.2)
    for row, colour in zip(results, _COLOURS, strict=False):
        axes.plot(row["steps"], row["dead"], color=colour, label=f"rate {row['rate']:g}")
    axes.set(ylim=(-0.02, 1.02), xlabel="step", ylabel="dead units, share")
    axes.legend(fontsize=9)
    return figure


@styled
def learning_rates(results: Sequence[Result]) -> "Figure":
    """Draws the loss by learning rate: each step's, their average, and where it falls fastest.

    Raises:
        ImportError: matplotlib is not installed.
    """
    (result,) = results
    figure, axes = empty(8, 3.2)
    axes.plot(result["rates"], result["losses"], ".", color=MUTED, markersize=3, label="of a batch")
    axes.plot(result["rates"], result["smooth"], color=MANUAL, label="average of the last")
    for name, text, style in (("steepest", "falls fastest", "--"), ("least", "is least", ":")):
        axes.axvline(result[name], color=INK, linewidth=1, linestyle=style)
        axes.plot([], [], style, color=INK, linewidth=1, label=f"{text}: {result[name]:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    axes.set(ylim=(0, 1.1 * max(result["smooth"])))
    axes.legend(fontsize=9)
    return figure


def save(
    draw: "Callable[[Sequence[Result]], Figure]", results: Sequence[Result], file: Path
) -> None:
    """Writes a chart to a file, the same bytes for the same results.

    Args:
        draw: one of the functions above.
        results: in JSON's types.
        file: where to; its suffix sets the format: .svg, .png or .pdf.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written; what it held before is untouched.
    """
    import matplotlib

    kind = file.suffix.removeprefix(".")
    with replacing(file) as draft, matplotlib.rc_context({"svg.hashsalt": draw.__name__}):
        dated = {"CreationDate" if kind == "pdf" else "Date": None}
        draw(results).savefig(draft, format=kind, metadata=None if kind == "png" else dated)
