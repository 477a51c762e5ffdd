"""Arrays of NumPy that share their memory: what is written to one of them the others see."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

__all__ = ["Writes", "owner_of", "places"]


def owner_of(x: Any) -> Any:
    """Returns the array whose memory an array shows: itself, where that is its own."""
    while isinstance(x, np.ndarray) and isinstance(x.base, np.ndarray):
        x = x.base
    return x


def places(view: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Returns where the entries of a view stand in the array that owns them, counted in C order.

    Raises:
        ValueError: its entries are no entries of that array, as the bytes of one are not.
    """
    size = of.itemsize
    offset = view.__array_interface__["data"][0] - of.__array_interface__["data"][0]
    if view.dtype != of.dtype or offset % size or any(step % size for step in view.strides):
        raise ValueError("a view of another type")
    numbers = np.empty_like(of, np.intp)
    numbers[...] = np.arange(of.size).reshape(of.shape)
    in_memory = numbers.ravel(order="K")
    steps = [step // size * numbers.itemsize for step in view.strides]
    return as_strided(in_memory[offset // size :], view.shape, steps, writeable=False).copy()


class Writes:
    """Which arrays have other numbers than when they were last looked at.

    Arrays are known by their `id`: whoever asks keeps them alive.
    """

    def __init__(self) -> None:
        self._written: dict[int, int] = {}
        self._seen: dict[int, int] = {}

    def see(self, x: Any) -> None:
        """Notes that an array has been looked at."""
        self._seen[id(x)] = self._written.get(id(owner_of(x)), 0)

    def write(self, x: Any) -> None:
        """Notes that an array has been written to, and looked at."""
        own = id(owner_of(x))
        self._written[own] = self._written.get(own, 0) + 1
        self.see(x)

    def is_seen(self, x: Any) -> bool:
        """Tells whether no other array of the same memory was written to since."""
        return self._seen.get(id(x), 0) == self._written.get(id(owner_of(x)), 0)
