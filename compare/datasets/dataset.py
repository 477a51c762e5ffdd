"""The data set that every loader returns, and the error that every loader raises."""

import os
from typing import NamedTuple

import numpy as np

__all__ = ["INSTALL_DATA", "DataError", "Dataset"]

INSTALL_DATA = "pip install 'handgrad[data]'"
"""Installs the optional data libraries. The quotes are there because zsh expands brackets."""

_REMEDY = "point --data-dir DIR (or HANDGRAD_DATA) at intact IDX files, or use --dataset mnist5k"


class Dataset(NamedTuple):
    """A training and a test set; rows are examples.

    Shapes: x_train (n, features) float32, x_test (m, features) float32. Labels are (n,) int32
    class numbers for MNIST, and (n, 1) float32 zeros and ones for the binary tasks.

    Attributes:
        name: "xor", "parity", "classification", "mnist" or "mnist5k".
        x_train: Training inputs; MNIST pixels are scaled to [0, 1].
        y_train: Training labels.
        x_test: Test inputs.
        y_test: Test labels.
        note: One line that must be shown beside any result on this data, or "".
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    note: str = ""


class DataError(Exception):
    """Data is missing or invalid; the message is one line that says what to do."""

    def __init__(self, message: str):
        # A file name may contain a line break; the message may not.
        super().__init__(" ".join(message.splitlines()))

    @classmethod
    def at(
        cls, path: str | os.PathLike[str], expected: str, found: str, remedy: str = _REMEDY
    ) -> "DataError":
        """Builds the error about a file.

        Args:
            path: The file.
            expected: What should have been in it.
            found: What was in it.
            remedy: What to do.
        """
        return cls(f"{os.fspath(path)}: expected {expected}, found {found}; {remedy}")
