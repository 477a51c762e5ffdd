"""Gives all pictures the same colours, type and empty figures to draw on."""

import io
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "AUTODIFF", "COLOURS", "GRID", "INK", "INSTALL_REPORT", "MANUAL", "MUTED", "WRONG", "empty",
    "styled", "svg",
]  # fmt: skip

INSTALL_REPORT = "pip install 'handgrad[report]'"
"""Installs matplotlib and Jinja2."""

INK, MUTED, GRID = "#1c2126", "#69727d", "#d5dae0"
MANUAL, AUTODIFF, WRONG = "#0072b2", "#e69f00", "#d55e00"  # Okabe and Ito's colours.

COLOURS = {
    INK: "ink", MUTED: "muted", GRID: "line", MANUAL: "manual", AUTODIFF: "autodiff",
    WRONG: "wrong",
}  # fmt: skip
"""The role of each colour; the page gives a role other shades in its dark theme."""

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "xtick.minor.visible": False,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
    "ytick.minor.visible": False,
}


def styled(draw: "Callable[..., Figure]") -> "Callable[..., Figure]":
    """Decorates a function so that it draws in our style, whatever style its caller has set."""

    @wraps(draw)
    def drawn(*args: Any, **settings: Any) -> "Figure":
        import matplotlib

        with matplotlib.rc_context(), matplotlib.rc_context(_STYLE):
            return draw(*args, **settings)

    return drawn


def empty(width: float, height: float, panels: int | tuple[int, int] = 1) -> "tuple[Figure, Any]":
    """Makes an empty figure.

    Args:
        width: in inches.
        height: in inches.
        panels: the number of panels, side by side; or of rows and columns of panels.

    Returns:
        The figure, and its panel or the array of its panels.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.subplots(*((1, panels) if isinstance(panels, int) else panels))


def svg(figure: "Figure", name: str) -> str:
    """Turns a figure into an SVG element for a page, with text as text and no background.

    Args:
        figure: the figure.
        name: a name that is unique on the page, so that no two pictures share an id.
    """
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Every figure has the same ids of groups, which must not be repeated on a page.
    return re.sub(r'<g id="[^"]*"', "<g", text)
