"""Renders how gradients fade for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType

from compare.terminal.screen import titled_table

__all__ = ["dead_relus", "learning_rates", "norms"]

Result = dict[str, Any]


def norms(results: Sequence[Result]) -> RenderableType:
    """Builds the table of the norms in the first layer and in the last, a column for each depth."""
    depths = list(dict.fromkeys(row["depth"] for row in results))
    table = titled_table("norm of ∂L/∂w before training: first layer → last, by hidden layers")
    for name in ("initialisation", "activation"):
        table.add_column(name, no_wrap=True)
    for depth in depths:
        table.add_column(str(depth), justify="right", no_wrap=True)
    places = dict.fromkeys((row["initialisation"], row["activation"]) for row in results)
    for place in places:
        own = {
            row["depth"]: row["norms"]
            for row in results
            if (row["initialisation"], row["activation"]) == place
        }
        table.add_row(*place, *(f"{_short(own[d][0])} → {_short(own[d][-1])}" for d in depths))
    return table


def _short(norm: float) -> str:
    return f"{norm:.0e}" if norm else "0"


def dead_relus(results: Sequence[Result]) -> RenderableType:
    """Builds the table of the share of dead units, at the first step, halfway and at the last."""
    table = titled_table("dead hidden units")
    steps = results[0]["steps"]
    shown = [0, len(steps) // 2, len(steps) - 1]
    table.add_column("rate", justify="right")
    for i in shown:
        table.add_column(f"step {steps[i]}", justify="right")
    for row in results:
        table.add_row(f"{row['rate']:g}", *(f"{100 * row['dead'][i]:.0f} %" for i in shown))
    return table


def learning_rates(results: Sequence[Result]) -> RenderableType:
    """Writes where the loss falls fastest and where it is least."""
    (result,) = results
    return (
        f"the loss falls fastest at a rate of {result['steepest']:.2g}, and is least at "
        f"{result['least']:.2g}"
    )
