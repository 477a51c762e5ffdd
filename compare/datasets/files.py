"""Opens data files, plain or gzip; whatever is wrong with one becomes a `DataError`."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from compare.datasets.dataset import DataError
from compare.files import open_regular

__all__ = ["open_bytes"]

_GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def open_bytes(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens `path` for reading; gzip, recognised by its first two bytes, is unpacked.

    The stream unpacks as it is read: a caller that asks for so many bytes gets no more, whatever
    the whole file would inflate to. Reading up to the end checks gzip's CRC.

    Yields:
        The stream of unpacked bytes.

    Raises:
        DataError: The file is missing, not a regular file, or unreadable; or it is truncated or
            corrupt gzip, which may show only while the body of the `with` reads.
    """
    try:
        with open_regular(path) as raw:
            if raw.peek(2)[:2] == _GZIP_MAGIC:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield unpacked  # pyright: ignore[reportReturnType]  # a GzipFile reads bytes
            else:
                yield raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError.at(path, "intact gzip", f"damaged gzip ({error})") from error
    except FileNotFoundError as error:
        raise DataError.at(path, "a file", "none") from error
    except OSError as error:
        raise DataError.at(path, "a readable file", error.strerror or str(error)) from error
