"""What may stand in for the values of an operation: those of the loss, at every turn of a loop."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from compare.diagnosis.watching.references import (
    Reference,
    References,
    can_be,
)

__all__ = ["substitutes"]

Substitute = tuple[Reference, list[np.ndarray]]
"""What the values may be, and its numbers at each turn."""


def substitutes(
    references: References, values: list[np.ndarray], kinds: tuple[str, ...]
) -> Iterator[Substitute]:
    """Gives references of the same sizes, one for each turn of a loop, in its order or backwards.

    A loop may also have some of the turns only, or go over the blocks of one reference.

    Args:
        references: those of the loss.
        values: what is to be replaced, at each turn.
        kinds: of which kinds the references are to be.
    """
    if len({value.shape for value in values}) == 1:
        yield from _even(references, values, kinds)
    else:
        yield from _ragged(references, values, kinds)


def _even(
    references: References, values: list[np.ndarray], kinds: tuple[str, ...]
) -> Iterator[Substitute]:
    shape, count = values[0].shape, len(values)
    seen: set[Any] = set()
    for reference in references.like(values[0]):
        if not _fits(reference, values[0], kinds):
            continue
        family = references.family(reference) if count > 1 else [reference]
        own = reference.array
        key = reference.family if count > 1 else (own.shape, own.tobytes())
        if (
            key in seen
            or len(family) < count
            or not all(can_be(r.array, values[0]) for r in family)
        ):
            continue
        seen.add(key)
        for turned in _in_shape([r.array for r in family], shape):
            arrays = [a.astype(values[0].dtype) for a in turned]
            for first in range(len(arrays) - count + 1):
                turns = arrays[first : first + count]
                yield reference, turns
                if count > 1:
                    yield reference, turns[::-1]
    for reference in references.of_size(values[0].size * count) if count > 1 else ():
        if reference.kind in kinds and can_be(reference.array, values[0]):
            for blocks in _blocks_of(reference.array, shape, count):
                yield reference, blocks
                yield reference, blocks[::-1]


def _ragged(
    references: References, values: list[np.ndarray], kinds: tuple[str, ...]
) -> Iterator[Substitute]:
    """Those of a loop over blocks of which the last is shorter."""
    sizes = [value.size for value in values]
    for reference in references.like(values[-1]):
        if _fits(reference, values[-1], kinds):
            turns = [r.array for r in references.loop(reference)]
            if [turn.size for turn in turns] == sizes:
                yield reference, _shaped(turns, values)
    for reference in references.of_size(sum(sizes)):
        for axis in range(reference.array.ndim if _fits(reference, values[0], kinds) else 0):
            ends = np.cumsum([value.shape[axis] if value.ndim > axis else 0 for value in values])
            blocks = np.split(reference.array, ends[:-1], axis=axis)
            if [block.shape for block in blocks] == [value.shape for value in values]:
                yield reference, _shaped(blocks, values)


def _fits(reference: Reference, value: np.ndarray, kinds: tuple[str, ...]) -> bool:
    whole = value.dtype.kind in "biu"
    of_kind = reference.kind in kinds and can_be(reference.array, value)
    return of_kind and not (whole and reference.array.dtype.kind == "f")


def _shaped(arrays: list[np.ndarray], values: list[np.ndarray]) -> list[np.ndarray]:
    return [a.reshape(v.shape).astype(v.dtype) for a, v in zip(arrays, values, strict=True)]


def _in_shape(arrays: list[np.ndarray], shape: tuple[int, ...]) -> Iterator[list[np.ndarray]]:
    """The arrays of the same size in this shape: as they are, or with their axes turned."""
    yield [a.reshape(shape) for a in arrays]
    own = arrays[0].shape
    if len(own) != len(shape) or sorted(own) != sorted(shape) or not 2 <= len(own) <= 5:
        return
    orders = itertools.permutations(range(len(own)))
    moving = (axes for axes in orders if tuple(own[i] for i in axes) == shape)
    for axes in itertools.islice(moving, _MOST_ORDERS):
        # Axes of length 1 may go anywhere.
        if [i for i in axes if own[i] > 1] != [i for i, n in enumerate(own) if n > 1]:
            yield [a.transpose(axes) for a in arrays]


def _blocks_of(array: np.ndarray, shape: tuple[int, ...], count: int) -> Iterator[list[np.ndarray]]:
    """An array as so many blocks of this shape, along any axis."""
    for axis in range(len(shape)):
        whole = tuple(n * count if i == axis else n for i, n in enumerate(shape))
        if array.shape == whole:
            yield np.split(array, count, axis=axis)


_MOST_ORDERS = 7
"""Of so many orders of axes at most one is tried after another."""
