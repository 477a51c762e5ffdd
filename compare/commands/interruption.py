"""Ctrl-C during a training: once to stop where the state can be kept, twice to stop at once."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["noticing_interruption"]


@contextlib.contextmanager
def noticing_interruption(*, active: bool = True) -> Iterator[Callable[[], bool]]:
    """Turns the first SIGINT into a note, and leaves the next one as it was.

    Args:
        active: whether to; every SIGINT stays as it was if not.

    Yields:
        A function that says whether there was one.
    """
    noticed = False
    if not active:
        yield lambda: False
        return

    def note(number: int, frame: Any) -> None:
        nonlocal noticed
        noticed = True
        signal.signal(signal.SIGINT, before)
        print(
            "handgrad: stopping with a checkpoint at the end of this epoch; Ctrl-C stops at once",
            file=sys.stderr,
        )

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: noticed
    finally:
        signal.signal(signal.SIGINT, before)
