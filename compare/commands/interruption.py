"""Handles Ctrl-C and SIGTERM: a thread of its own ends the process, whatever it is doing.

A signal that raises an exception would raise it anywhere: inside an import, inside the compiler's
callbacks, or only at the end of an epoch, which is one call of native code.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from compare import files

__all__ = ["INTERRUPTED", "ending_with", "handling", "install", "noticing_interruption"]

INTERRUPTED = 130
"""The exit code."""

_handlers: list[Callable[[int], None]] = []
"""What a signal does: the last of these. Empty where nothing has been installed."""


def install() -> None:
    """Makes Ctrl-C and SIGTERM end this process with INTERRUPTED and one line, from now on."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    _handlers.append(_end)
    # What the interpreter calls itself may be late, as it waits for native code; this is not.
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _do_nothing)
    threading.Thread(target=_watch, args=(read_end,), daemon=True).start()


@contextlib.contextmanager
def handling(handler: Callable[[int], None]) -> Iterator[None]:
    """Makes a signal call `handler` with its number, in another thread, instead of what it did.

    Without `install` nothing is changed.
    """
    if not _handlers:
        yield
        return
    _handlers.append(handler)
    try:
        yield
    finally:
        if handler in _handlers:
            _handlers.remove(handler)


@contextlib.contextmanager
def ending_with(note: Callable[[], str]) -> Iterator[None]:
    """Makes a signal end the process with what `note` returns in its line, if it is not ""."""
    with handling(lambda number: _end(number, note())):
        yield


@contextlib.contextmanager
def noticing_interruption(worth: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Notes the first signal instead of ending; the next one ends as usual.

    Args:
        worth: whether there is something to keep by now. If not, a signal ends as usual.

    Yields:
        A function that tells whether a signal was noted.
    """
    noticed = threading.Event()

    def note(number: int) -> None:
        if not worth():
            _end(number)
        noticed.set()
        _handlers.remove(note)
        _say("stopping with a checkpoint at the end of this epoch; Ctrl-C stops at once")

    with handling(note):
        yield noticed.is_set


def _watch(read_end: int) -> None:
    while True:
        number = os.read(read_end, 1)[0]
        if number in (signal.SIGINT, signal.SIGTERM):
            _handlers[-1](number)


def _end(number: int, note: str = "") -> None:
    files.remove_drafts()
    _say(f"interrupted; {note}" if note else "interrupted")
    os._exit(INTERRUPTED)


def _say(text: str) -> None:
    """Writes a line without Python's buffers, which the main thread may be holding."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number = sys.stderr.fileno()
        # On a terminal a spinner may be turning, and its cursor is hidden.
        start = "\r\x1b[2K\x1b[?25h" if os.isatty(number) else ""
        os.write(number, f"{start}handgrad: {text}\n".encode())


def _do_nothing(number: int, frame: Any) -> None:
    """Stands in for the interpreter's own handler, without which no signal is written down."""
