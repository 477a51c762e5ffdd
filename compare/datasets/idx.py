"""Reads the IDX format of the MNIST files, strictly.

A file is a header and then the items' bytes, nothing else:

    0 0   two zero bytes
    t     the type of an item's numbers; 0x08 is unsigned byte, the only one MNIST uses
    d     the number of dimensions: 1 for labels, 3 for images
    n...  d sizes, each a big-endian unsigned 32-bit number, the count of items first

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", "File formats".
"""

import hashlib
import math
import os
import struct
from typing import BinaryIO

import numpy as np

from compare.datasets.dataset import DataError
from compare.datasets.files import open_bytes

__all__ = ["MAX_ITEMS", "read_images", "read_labels", "sha256"]

MAX_ITEMS = 300_000
"""The most items that a header may declare: five times MNIST's, at most 235 MB of pixels. Without
a limit, four bytes of a foreign file would decide how much memory is allocated."""

_UNSIGNED_BYTE = 0x08
_IMAGE = (28, 28)

_Path = str | os.PathLike[str]


def read_images(path: _Path) -> np.ndarray:
    """Reads the images of an IDX file, plain or gzip.

    Args:
        path: The file, for example `train-images-idx3-ubyte.gz`.

    Returns:
        (n, 28, 28) uint8, read-only; 0 is paper and 255 is ink.

    Raises:
        DataError: The file cannot be read, or is not exactly one IDX file of 28 × 28 images.
    """
    return _read(path, _IMAGE)


def read_labels(path: _Path) -> np.ndarray:
    """Reads the labels of an IDX file, plain or gzip.

    Args:
        path: The file, for example `train-labels-idx1-ubyte.gz`.

    Returns:
        (n,) uint8, read-only, each 0 to 9.

    Raises:
        DataError: The file cannot be read, is not exactly one IDX file of labels, or has a label
            above 9.
    """
    labels = _read(path, ())
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise DataError.at(path, "labels 0 to 9", f"{labels[at]} at item {at}")
    return labels


def sha256(items: np.ndarray) -> str:
    """Computes the SHA-256, in hexadecimal, of the plain IDX file that holds these uint8 items."""
    header = struct.pack(f">4B{items.ndim}I", 0, 0, _UNSIGNED_BYTE, items.ndim, *items.shape)
    digest = hashlib.sha256(header)
    digest.update(np.ascontiguousarray(items).data)
    return digest.hexdigest()


def _read(path: _Path, item: tuple[int, ...]) -> np.ndarray:
    with open_bytes(path) as stream:
        shape = (_read_count(path, stream, item), *item)
        size = math.prod(shape)
        # One byte more than needed shows trailing bytes, and makes gzip check the CRC at its end.
        content = stream.read(size + 1)
    if len(content) != size:
        found = f"{len(content):,}" if len(content) < size else "more"
        raise DataError.at(path, f"{size:,} bytes after the header", found)
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_count(path: _Path, stream: BinaryIO, item: tuple[int, ...]) -> int:
    """Reads and checks the header, and returns the count of items."""
    _check_magic(path, _take(path, stream, 4), 1 + len(item))
    sizes = struct.unpack(f">{1 + len(item)}I", _take(path, stream, 4 + 4 * len(item)))
    if sizes[1:] != item:
        raise DataError.at(path, f"images of {_times(item)}", f"images of {_times(sizes[1:])}")
    if not 1 <= sizes[0] <= MAX_ITEMS:
        raise DataError.at(path, f"1 to {MAX_ITEMS:,} items", f"a header for {sizes[0]:,}")
    return sizes[0]


def _check_magic(path: _Path, magic: bytes, ndim: int) -> None:
    if magic[:2] != b"\0\0":
        raise DataError.at(path, "an IDX file (00 00 first)", f"{magic[:2].hex(' ')} first")
    if magic[2] != _UNSIGNED_BYTE:
        raise DataError.at(path, "IDX type 0x08 (unsigned byte)", f"type 0x{magic[2]:02x}")
    if magic[3] != ndim:
        kind = "labels" if ndim == 1 else "images"
        raise DataError.at(path, f"IDX dimensions: {ndim} ({kind})", str(magic[3]))


def _take(path: _Path, stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise DataError.at(path, f"a header with {size} more bytes", f"{len(content)} bytes")
    return content


def _times(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))
