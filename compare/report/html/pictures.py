"""Makes pictures for a page: inline SVG in the page's own colours, and small images."""

import base64
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compare.report.plots.figures import COLOURS, GRID, WRONG, empty, styled, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["error_map", "image", "inline"]


def inline(figure: "Figure", name: str) -> str:
    """Turns a figure into an SVG element whose colours are variables of the page's style.

    Args:
        figure: the figure.
        name: a name that is unique on the page.
    """
    roles = "|".join(COLOURS)
    return re.sub(
        rf"(fill|stroke): ({roles})\b",
        lambda found: f"{found[1]}: var(--{COLOURS[found[2]]})",
        svg(figure, name),
    )


@styled
def error_map(leaf: dict[str, Any]) -> "Figure":
    """Draws the error of each entry of a matrix as a shade, or which entries are not finite.

    Args:
        leaf: a leaf with an `error_map`, as in the JSON of `gradients`.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgba

    rows, nonfinite = leaf["error_map"], leaf["max_abs"] is None
    if nonfinite:
        rows = [[1.0 if entry is None else 0.0 for entry in row] for row in rows]
    height, width = leaf["shape"]
    figure, axes = empty(4.6, min(4.6, max(1.8, 0.9 + 3.2 * height / max(width, height))))
    highest = max(entry for row in rows for entry in row)
    # An error far below the largest is left blank, like an error of zero.
    nothing = to_rgba(WRONG, 0.0)
    shades = LinearSegmentedColormap.from_list(
        "error", [to_rgba(WRONG, 0.08), to_rgba(WRONG, 1.0)]
    ).with_extremes(bad=nothing, under=nothing)
    norm = LogNorm(highest * _SHOWN, highest)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    picture = axes.imshow(rows, norm=norm, cmap=shades, aspect="auto", extent=extent,
                          interpolation="nearest")  # fmt: skip
    axes.set(xlabel="column", ylabel="row")
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True, nbins=6)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=GRID)
    if not nonfinite:
        figure.colorbar(picture, label="|manual − reference|").outline.set(visible=False)
    return figure


_SHOWN = 1e-8
"""The smallest error that has a shade, over the largest error."""


def image(rows: Sequence[Sequence[int]]) -> str:
    """Encodes rows of grey values, 0 to 255 for ink, as a `data:` address: dark on light."""
    from PIL import Image

    ink = bytes(255 - max(0, min(255, int(pixel))) for row in rows for pixel in row)
    file = io.BytesIO()
    Image.frombytes("L", (len(rows[0]), len(rows)), ink).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
