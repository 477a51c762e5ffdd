"""Pictures for a page: inline SVG whose colours follow the page's, and small images."""

import base64
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compare.report.figures import COLOURS, GRID, WRONG, empty, styled, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["error_map", "image", "inline"]


def inline(figure: "Figure", name: str) -> str:
    """The figure as an SVG element, its colours those that the page gives to their roles.

    Args:
        figure: what to show.
        name: unique on the page.
    """
    roles = "|".join(COLOURS)
    return re.sub(
        rf"(fill|stroke): ({roles})\b",
        lambda found: f"{found[1]}: var(--{COLOURS[found[2]]})",
        svg(figure, name),
    )


@styled
def error_map(leaf: dict[str, Any]) -> "Figure":
    """The error of a matrix, entry by entry or block by block, its size as a shade."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgba

    rows = [[float("nan") if e is None else e for e in row] for row in leaf["error_map"]]
    height, width = leaf["shape"]
    figure, axes = empty(4.6, min(5.0, max(1.6, 0.9 + 3.2 * height / max(width, height))))
    present = [e for row in rows for e in row if e > 0] or [1.0]
    highest = max(present)
    # What is zero or rounding is left blank: a shade for each power of ten down from the largest.
    lowest = max(min(present), highest * 1e-8) if min(present) < highest else highest / 10
    shades = LinearSegmentedColormap.from_list("error", [to_rgba(WRONG, 0.08), to_rgba(WRONG, 1.0)])
    shades.set_bad(alpha=0)
    shades.set_under(alpha=0)
    picture = axes.imshow(rows, norm=LogNorm(lowest, highest), cmap=shades, aspect="auto",
                          interpolation="nearest", extent=(-0.5, width - 0.5, height - 0.5, -0.5))  # fmt: skip
    axes.set(xlabel="column", ylabel="row")
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
    axes.yaxis.get_major_locator().set_params(integer=True, nbins=6)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=GRID)
    bar = figure.colorbar(picture, label="|manual − reference|")
    bar.outline.set(visible=False)
    return figure


def image(rows: Sequence[Sequence[int]]) -> str:
    """A grey image of bytes as a `data:` address, dark on light as ink is."""
    from PIL import Image

    ink = bytes(255 - max(0, min(255, int(pixel))) for row in rows for pixel in row)
    file = io.BytesIO()
    Image.frombytes("L", (len(rows[0]), len(rows)), ink).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
