"""Exclusive or: the smallest task that no single layer solves."""

import numpy as np

from compare.datasets.dataset import Dataset

__all__ = ["load"]


def load() -> Dataset:
    """Builds the whole truth table, for training and for testing.

    Returns:
        `Dataset` "xor": x (4, 2) float32, y (4, 1) float32; the test set has the same rows.
    """
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    return Dataset("xor", x, y, x.copy(), y.copy())
