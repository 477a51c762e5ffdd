"""Keeps a second training out of a folder that one is writing to."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from compare.files import unwritten

__all__ = ["LOCK", "FolderInUseError", "locked"]

LOCK = ".handgrad.lock"
"""The file that says which process on which host is training in a folder."""


class FolderInUseError(Exception):
    """Another training writes to the folder; the message is one line that says which."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes a folder, and holds its lock; the system lets go of it however this process ends.

    A lock that a killed process has left is nobody's any more, and is taken over. Windows has no
    such locks, and nothing is locked there.

    Raises:
        FolderInUseError: another process holds the lock.
        WriteError: the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise unwritten(folder, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(
                f"{folder}: {_holder(handle)} is training there; wait for its end, or name another "
                "folder"
            ) from None
        try:
            os.ftruncate(handle, 0)
            os.pwrite(
                handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0
            )
        except OSError as error:
            raise unwritten(folder, error) from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    try:
        found = json.loads(os.pread(handle, 1000, 0))
        return f"process {int(found['pid'])} on {str(found['host'])[:100]}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
