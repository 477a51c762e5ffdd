"""Standard output and standard error that never end a command, whatever they lead to.

What cannot be shown any more (a full disk, a reader that has gone) is lost, and the command goes on
to write its files. What a stream's encoding does not have is written in ASCII.
"""

import contextlib
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Stream", "guarded", "wrapping"]

_ASCII = str.maketrans(
    {"×": "x", "·": "-", "▸": ">", "–": "-", "−": "-", "←": "<", "→": ">", "∂": "d", "±": "~",
     "∞": "inf", "½": "1/2", "…": "..."}
)  # fmt: skip


class Stream(io.TextIOBase):
    """A text stream that notes a failure instead of raising it.

    Attributes:
        error: the first failure; None if there was none.
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self.error: OSError | None = None if stream is not None else OSError("is closed")

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The encoding of the stream itself."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether the stream leads to a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The number of its file descriptor."""
        if self._stream is None:
            raise OSError("is closed")
        return self._stream.fileno()

    def writable(self) -> bool:
        """Whether text can be written: always."""
        return True

    def write(self, text: str) -> int:
        """Writes text, or loses it."""
        if self.error is None:
            with self._noting():
                self._stream.write(self._possible(text))
        return len(text)

    def flush(self) -> None:
        """Writes what is still in a buffer, or loses it."""
        if self.error is None:
            with self._noting():
                self._stream.flush()

    def _possible(self, text: str) -> str:
        """Returns the text in letters that the stream's encoding has."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return text.translate(_ASCII).encode(self.encoding, "replace").decode(self.encoding)
        return text

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.error = error if isinstance(error, OSError) else OSError("is closed")
            self._empty()

    def _empty(self) -> None:
        """Sends what is left in the stream's buffer nowhere: it would fail again at the end."""
        with contextlib.suppress(OSError, ValueError):
            number = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)


@contextlib.contextmanager
def guarded(stdout: Any, stderr: Any) -> Iterator[Stream]:
    """Puts a `Stream` in the place of standard output and one in that of standard error.

    Yields:
        That of standard output.
    """
    out = Stream(stdout)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(Stream(stderr)):
        yield out


class _Wrapping(Stream):
    """A stream whose lines are no wider than the terminal, if they have spaces.

    Args:
        stream: where they go.
        edited: what is done to each line before.
    """

    def __init__(self, stream: Any, edited: Callable[[str], str]):
        super().__init__(stream)
        self._edited = edited

    def write(self, text: str) -> int:
        """Writes whole lines, those that are too wide as several."""
        width = shutil.get_terminal_size().columns
        for line in map(self._edited, text.splitlines(keepends=True)):
            if len(_STYLE.sub("", line.rstrip("\n"))) > width:
                end = "\n" if line.endswith("\n") else ""
                line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
                line += end
            super().write(line)
        return len(text)


_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@contextlib.contextmanager
def wrapping(edited: Callable[[str], str] = str) -> Iterator[None]:
    """Breaks the lines of standard output that are wider than the terminal.

    Args:
        edited: what is done to each line before.
    """
    with contextlib.redirect_stdout(_Wrapping(sys.stdout, edited)):
        yield
