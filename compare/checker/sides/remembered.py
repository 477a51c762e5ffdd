"""What was computed before, found again by what it was computed from."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Remembered"]

_T = TypeVar("_T")


class Remembered(Generic[_T]):
    """Values by all that they depend on; the one not asked for longest is let go first.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int):
        self._size, self._values, self._lock = size, OrderedDict[Hashable, _T](), threading.Lock()

    def get(self, key: Hashable) -> _T | None:
        """Returns the value, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: _T) -> None:
        """Keeps a value, and lets the oldest go where there are too many."""
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._size:
                self._values.popitem(last=False)
