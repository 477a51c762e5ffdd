"""Regular files: written whole or not at all, and nothing else is opened in their place."""

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = [
    "WriteError",
    "misplaced",
    "open_regular",
    "remove_drafts",
    "replacing",
    "require_writable",
    "unwritten",
]

_drafts: set[str] = set()
"""The drafts that are being written now."""

_TRIED = 1 << 16
"""The bytes that are written to find out whether a file can be."""


class WriteError(OSError):
    """A result cannot be written; the message is one line that says why and what to do."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a new file, which takes the place of `path` once all of it has been written.

    Its mode is what the umask leaves of 0666, as of any new file.

    Yields:
        The new file, open for writing bytes.

    Raises:
        WriteError: the file cannot be written; what `path` held before is untouched.
    """
    draft = os.path.join(path.parent, f".handgrad-{secrets.token_hex(8)}")
    _drafts.add(draft)
    try:
        with open(draft, "xb") as file:
            yield file
        os.replace(draft, path)
    except OSError as error:
        raise unwritten(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        _drafts.discard(draft)


def remove_drafts() -> None:
    """Removes every draft, before this process ends without finishing them."""
    for draft in list(_drafts):
        with contextlib.suppress(OSError):
            os.unlink(draft)


def misplaced(path: Path) -> str:
    """Tells why a file cannot be where its name says; "" where it can.

    Raises:
        OSError: there can be no such name.
    """
    if path.is_dir():
        return "is a folder; give the name of a file"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; make it first"
    return ""


_WRITTEN_BY_PEOPLE = frozenset({".py", ".ipynb", ".toml", ".md"})
"""A file with such a name, where there is one, is nothing that was computed."""


def require_writable(path: Path) -> None:
    """Tries whether a file can be written, and leaves nothing behind.

    Raises:
        WriteError: it cannot be; the message says why and what to do.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise WriteError(f"{path}: is no regular file; name a file")
            if path.suffix in _WRITTEN_BY_PEOPLE:
                raise WriteError(
                    f"{path}: is not written over, since it is no result; name another"
                )
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with contextlib.suppress(_TriedError), replacing(path) as file:
            file.write(bytes(_TRIED))
            file.flush()
            raise _TriedError
    except WriteError:
        raise
    except OSError as error:
        raise unwritten(path, error) from error


class _TriedError(Exception):
    """Ends a draft that was only tried."""


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Opens a regular file for reading.

    A named pipe is not waited for, and nothing is read from a device.

    Raises:
        OSError: there is none, it cannot be read, or it is a folder, a pipe, a device or a socket;
            `strerror` says which.
    """
    _require_regular(os.stat(path).st_mode)
    # It may have been replaced since: a pipe would be waited for without O_NONBLOCK.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_regular(os.fstat(handle).st_mode)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file")


def unwritten(path: Path, error: OSError) -> WriteError:
    """Returns the error that says of a file why it cannot be written, and what to do."""
    if isinstance(error, WriteError):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "free some space there, or choose another place"
    elif error.errno == errno.ENAMETOOLONG:
        advice = "choose a shorter name"
    else:
        advice = "choose another place"
    name = str(path) if len(str(path)) <= 200 else f"{str(path)[:100]}...{str(path)[-50:]}"
    return WriteError(f"{name}: cannot be written: {error.strerror or error}; {advice}")
