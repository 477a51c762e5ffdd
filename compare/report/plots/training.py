"""Draws the results of `train`: curves, confusions, boundaries, partings and gradient norms."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compare.report.plots.figures import AUTODIFF, GRID, INK, MANUAL, MUTED, WRONG, empty, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["boundary", "confusion", "curves", "gradient_norms", "parting"]

Result = dict[str, Any]
Point = tuple[float, float, float]

XOR: tuple[Point, ...] = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0))
"""The four rows of XOR: two inputs and the target."""

# The curves of both sides coincide if all is well: one is wide and pale, to show below the other.
_LINES = {
    "autodiff": {"color": AUTODIFF, "linewidth": 5, "alpha": 0.45, "solid_capstyle": "round"},
    "manual": {"color": MANUAL, "linewidth": 1.6},
}
_NAMES = {"manual": "by hand", "autodiff": "jax.grad"}


@styled
def curves(results: Sequence[Result]) -> "Figure":
    """Draws loss and accuracy by epoch: test solid, train dotted, one colour for each side."""
    figure, panels = empty(9, 3.2, 2)
    for axes, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        for result in sorted(results, key=lambda r: list(_LINES).index(r["method"])):
            epochs = [row["epoch"] for row in result["history"]]
            for part, stroke in (("train", ":"), ("test", "-")):
                values = [_number(row.get(f"{part}_{quantity}")) for row in result["history"]]
                label = f"{part}, {_NAMES[result['method']]}"
                axes.plot(epochs, values, stroke, label=label, **_LINES[result["method"]],
                          **_marks(epochs))  # fmt: skip
        axes.set_title(quantity)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].legend(fontsize=9)
    return figure


@styled
def confusion(result: Result) -> "Figure":
    """Draws the confusion matrix: shades by count, and the counts."""
    counts = result["confusion"]
    n = len(counts)
    size = max(2.6, 1.2 + 0.42 * n)
    figure, axes = empty(size, size)
    mistakes = max((c for i, row in enumerate(counts) for j, c in enumerate(row) if i != j),
                   default=0)  # fmt: skip
    for truth, row in enumerate(counts):
        for predicted, count in enumerate(row):
            if count:
                right = truth == predicted
                share = count / (sum(row) if right else mistakes)
                colour = MANUAL if right else WRONG
                axes.fill_between((predicted - 0.5, predicted + 0.5), truth - 0.5, truth + 0.5,
                                  color=colour, alpha=0.08 + 0.52 * share, linewidth=0)  # fmt: skip
                axes.text(predicted, truth, str(count), ha="center", va="center", fontsize=8.5)
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xticks=range(n), yticks=range(n))
    axes.set(xlabel="predicted", ylabel="truth", aspect="equal")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return figure


@styled
def boundary(result: Result, points: Sequence[Point] | None = None) -> "Figure":
    """Draws the probability of class 1 over the plane, the line where it is ½, and the data.

    Args:
        result: of a problem with two inputs.
        points: (first input, second input, class) of each row; XOR's four rows if not given.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    plane = result["decision_boundary"]
    figure, axes = empty(4.2, 3.9)
    # Transparent where the probability is ½, so that the picture suits any background.
    shades = [to_rgba(AUTODIFF, 0.7), to_rgba(AUTODIFF, 0.0), to_rgba(MANUAL, 0.0),
              to_rgba(MANUAL, 0.7)]  # fmt: skip
    shading = LinearSegmentedColormap.from_list(
        "sides", list(zip((0, 0.5, 0.5, 1), shades, strict=True))
    )
    axes.pcolormesh(plane["x"], plane["y"], plane["probability"], cmap=shading, vmin=0, vmax=1,
                    shading="nearest", rasterized=True)  # fmt: skip
    probabilities = [p for row in plane["probability"] for p in row]
    if min(probabilities) < 0.5 < max(probabilities):
        axes.contour(plane["x"], plane["y"], plane["probability"], levels=[0.5], colors=[INK],
                     linewidths=1.2)  # fmt: skip
    for target, marker, colour in ((0, "o", AUTODIFF), (1, "s", MANUAL)):
        rows = [(x, y) for x, y, t in (XOR if points is None else points) if round(t) == target]
        axes.scatter([x for x, _ in rows], [y for _, y in rows], s=70, marker=marker, color=colour,
                     edgecolors=INK, linewidths=1.2, label=f"class {target}", zorder=3)  # fmt: skip
    axes.set(xlabel="first input", ylabel="second input", aspect="equal")
    axes.grid(visible=False)
    figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    return figure


@styled
def parting(result: Result) -> "Figure":
    """Draws the distance of the two trajectories by step, beside that of a one-ulp change."""
    found = result["parting"]
    figure, axes = empty(9, 3.1)
    distance = [_number(d) or math.nan for d in found["distance"]]
    spread = [_number(s) or math.nan for s in found["spread"]]
    positive = [v for v in (*distance, *spread) if v > 0]
    axes.set(xlabel="step", ylabel="relative distance")
    if not positive:
        axes.text(0.5, 0.5, "no distance at any step", ha="center", transform=axes.transAxes)
        axes.set(yticks=[], xlim=(min(found["steps"], default=0), max(found["steps"], default=1)))
        return figure
    floor = min(positive) / 3
    axes.fill_between(found["steps"], floor, spread, color=MUTED, alpha=0.25, linewidth=0,
                      label="jax.grad, started one ulp away")  # fmt: skip
    colour = WRONG if found["verdict"] == "defect" else MANUAL
    axes.plot(found["steps"], distance, color=colour, label="by hand from jax.grad",
              **_marks(found["steps"]))  # fmt: skip
    if found["verdict"] != "identical":
        axes.axvline(found["step"], color=INK, linewidth=0.8, linestyle="--")
        axes.annotate(
            f"largest for what is allowed: step {found['step']}", (found["step"], 1),
            xycoords=("data", "axes fraction"), xytext=(5, 0), textcoords="offset points",
            va="top", fontsize=9,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(floor, max(positive) * 3)
    figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    return figure


@styled
def gradient_norms(result: Result) -> "Figure":
    """Draws the norm of each leaf's gradient before and after training, the first leaf on top."""
    rows = result["gradient_norms"]
    figure, axes = empty(9, 1.1 + 0.27 * len(rows))
    places = range(len(rows))
    first, last = ([_number(row[when]) or math.nan for row in rows] for when in ("first", "last"))
    axes.hlines(places, first, last, color=GRID, linewidth=3, zorder=1)
    axes.scatter(first, places, s=42, facecolors="none", edgecolors=MUTED, linewidths=1.6,
                 label="at the first parameters")  # fmt: skip
    axes.scatter(last, places, s=42, color=MANUAL, label="at the last", zorder=3)
    axes.set_xscale("log")
    axes.set(yticks=places, xlabel="norm of the gradient", ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticklabels([row["leaf"] for row in rows], parse_math=False)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    return figure


def _number(value: float | None) -> float:
    """Turns the null that JSON has in place of NaN back into NaN."""
    return math.nan if value is None else float(value)


def _marks(steps: Sequence[Any]) -> dict[str, Any]:
    """Returns the style of a marker where there is only one point, which has no line to show it."""
    return {"marker": "o", "markersize": 5} if len(steps) == 1 else {}
