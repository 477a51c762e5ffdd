"""Gives all commands the same console, header and style of tables."""

from collections.abc import Sequence
from typing import Any, Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from compare.escapes import escaped

__all__ = ["console", "header", "moving_console", "print_above", "progress", "titled_table"]


def header(environment: dict[str, Any], datasets: Sequence[str], notes: Sequence[str]) -> Group:
    """Writes the header: the device, the versions, the data and notes on them."""
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
        *(Text(escaped(note), style="yellow") for note in notes if note),
    ]
    return Group(*lines)


def titled_table(title: str) -> Table:
    """Makes an empty table in our style, with the title on the left."""
    return Table(
        title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip


def console(*, quiet: bool = False) -> Console:
    """Opens standard output: in colour only in a terminal and without NO_COLOR, mute if quiet."""
    return Console(highlight=False, quiet=quiet)


def progress(message: str) -> Status:
    """Makes a spinner on standard error for while something runs; none if that is no terminal.

    A notebook is none: there it would stay below the cell.
    """
    return moving_console().status(message)


def moving_console() -> Console:
    """Opens standard error for what moves; mute where that is a notebook, or no terminal."""
    plain = Console(stderr=True)
    shown = plain.is_terminal and not plain.is_jupyter
    return Console(stderr=True, force_jupyter=False, quiet=not shown)


class _Moving(Protocol):
    """A spinner or a bar, which stands in the last line of a terminal."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def print_above(moving: _Moving, console: Console, *what: RenderableType) -> None:
    """Prints to the console, with what moves on the last line out of the way meanwhile."""
    moving.stop()
    console.print(*what)
    moving.start()
