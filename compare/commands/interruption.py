"""Handles Ctrl-C during a training: the first stops it at a checkpoint, the second at once."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["noticing_interruption"]


@contextlib.contextmanager
def noticing_interruption(*, active: bool = True) -> Iterator[Callable[[], bool]]:
    """Notes the first SIGINT instead of interrupting; the next one interrupts as usual.

    Args:
        active: if False, every SIGINT interrupts as usual.

    Yields:
        A function that tells whether a SIGINT was noted.
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
