"""Points around a given one, at which rounding errors are measured."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from compare.checker.sides.side import Arrays
from compare.trees import aligned_empty, cast, is_inexact

__all__ = ["perturbed_points", "to_float32"]


def perturbed_points(arrays: Arrays, seed: int, at_once: int | None = None) -> Iterator[Arrays]:
    """Yields points around one: each entry moved by a unit in its last place, up or down at random.

    Entries of float64 are rounded to float32 first, so that every number can be represented in all
    the types that are compared. Zeros, and what is not floating, stay as they are.

    Args:
        arrays: the point.
        seed: of the choice between up and down.
        at_once: after so many points the arrays of the first are written to again; None for never.
    """
    rng = np.random.default_rng(seed)
    moving = [_moving(to_float32(x)) if is_inexact(x) else lambda rng, into, x=x: x for x in arrays]
    points: deque[Arrays] = deque()
    while True:
        old = points.popleft() if len(points) == at_once else [None] * len(arrays)
        points.append([moved(rng, into) for moved, into in zip(moving, old, strict=True)])
        yield points[-1]
        if at_once is None:
            points.clear()


def to_float32(x: Any) -> Any:
    """Rounds float64 to float32; other arrays, and keys, are returned as they are."""
    if not is_inexact(x):
        return x
    host = np.asarray(x)
    wide = host.dtype in (np.float64, np.complex128)
    return cast(host, np.float32) if wide else host


def _moving(x: np.ndarray) -> Callable[[np.random.Generator, np.ndarray | None], np.ndarray]:
    """What draws an array with each entry moved: one unit is one in the bits, as a whole number."""
    if np.iscomplexobj(x):
        parts = _moving(np.ascontiguousarray(x).reshape(-1).view(np.real(x).dtype))
        return lambda rng, into: parts(rng, None).view(x.dtype).reshape(x.shape)
    whole = np.dtype(f"i{x.dtype.itemsize}")
    movable = (x != 0) & np.isfinite(x.astype(np.float32))
    down = np.ascontiguousarray(x).reshape(x.shape).view(whole) - movable
    steps = np.multiply(movable.ravel(), 2, dtype=np.uint8)

    def moved(rng: np.random.Generator, into: np.ndarray | None) -> np.ndarray:
        up = np.unpackbits(np.frombuffer(rng.bytes(-(-x.size // 8)), np.uint8), count=x.size)
        found = aligned_empty(x.shape, x.dtype) if into is None else into
        up *= steps
        np.add(down, up.reshape(x.shape), out=found.view(whole), dtype=whole, casting="unsafe")
        return found

    return moved
