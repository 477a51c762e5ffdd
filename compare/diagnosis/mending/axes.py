"""Axes of an array: those along which it is constant, and those that can be made two."""

from collections.abc import Iterator

import numpy as np

__all__ = ["core", "splits"]


def core(ratio: np.ndarray) -> np.ndarray | None:
    """Takes the axes away along which an array is constant; None where nothing is known."""
    if ratio.size == 0:
        return None
    for axis in range(ratio.ndim):
        first = _largest(ratio, axis)
        spread = _largest(np.abs(ratio - first), axis)
        if ratio.shape[axis] > 1 and np.all(spread <= 1e-9 * np.abs(first)):
            ratio = first
    return None if np.isnan(ratio).any() else ratio


def _largest(array: np.ndarray, axis: int) -> np.ndarray:
    """The largest entry along an axis, NaN being none; NaN where there is no other."""
    found = np.where(np.isnan(array), -np.inf, array).max(axis=axis, keepdims=True)
    return np.where(np.isneginf(found), np.nan, found)


def splits(terms: np.ndarray, axis: int, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Gives the terms with one axis made two, of which the one at `axis` is to be summed."""
    if terms.ndim == len(shape) + 1 and np.delete(terms.shape, axis).tolist() == list(shape):
        yield terms
    if terms.ndim == len(shape) and terms.shape[axis] != shape[axis]:
        count = terms.shape[axis] // max(shape[axis], 1)
        if count * shape[axis] == terms.shape[axis]:
            inner = terms.reshape(*terms.shape[:axis], shape[axis], count, *terms.shape[axis + 1 :])
            yield inner.swapaxes(axis, axis + 1)
            yield terms.reshape(*terms.shape[:axis], count, shape[axis], *terms.shape[axis + 1 :])
