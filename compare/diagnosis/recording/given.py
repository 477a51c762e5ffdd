"""What a recorded call is given: its numbers, and how to give it others."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from compare.trees import is_tensor, to_numpy

__all__ = [
    "Drawn",
    "drawn",
    "is_array",
    "is_number",
    "is_operand",
    "kind_of",
    "leaves_of",
    "numbers_of",
    "on_host",
    "with_numbers",
]


def is_array(value: Any) -> bool:
    """Tells whether it is an array or a scalar of NumPy, jax or PyTorch."""
    return isinstance(value, np.ndarray | np.generic | jax.Array) or is_tensor(value)


def is_number(value: Any) -> bool:
    """Tells whether it is an array, or a Python float; whole numbers are sizes and places."""
    return is_array(value) or isinstance(value, float)


def is_operand(value: Any) -> bool:
    """Tells whether it is what an operator computes with, whole numbers included."""
    return is_number(value) or isinstance(value, int)


def on_host(value: Any) -> Any:
    """Makes a copy, which does not change when the value does; a random key is left as it is."""
    try:
        return np.array(to_numpy(value))
    except TypeError:  # A random key.
        return value


def kind_of(value: Any) -> Callable[[Any], Any]:
    """Makes what turns a NumPy array into such a value."""
    if is_tensor(value):
        torch = sys.modules["torch"]
        return lambda x: torch.from_numpy(np.array(x)).to(value.dtype)
    if isinstance(value, jax.Array):
        return lambda x: jax.numpy.asarray(x)
    if isinstance(value, np.ndarray):
        return lambda x: np.array(x)
    return lambda x: np.asarray(x)[()]


def leaves_of(tree: Any) -> Iterable[Any]:
    """Lists what is in tuples, lists and dicts."""
    if isinstance(tree, tuple | list):
        for own in tree:
            yield from leaves_of(own)
    elif isinstance(tree, dict):
        yield from leaves_of(list(tree.values()))
    else:
        yield tree


def numbers_of(tree: Any) -> list[Any]:
    """Lists those of the leaves that are numbers."""
    return [x for x in leaves_of(tree) if is_number(x)]


class Drawn:
    """An argument that can be gone through but once, or is no tree, and what a call takes of it.

    No entry is taken that the call does not ask for: there may be no end of them.

    Attributes:
        given: what the call is to be given.
        entries: what it has taken.
        slots: of the numbers of these entries, as they were when they were taken.
    """

    def __init__(self, source: Iterable[Any], slot: Callable[[Any], int]):
        self._slot = slot
        self.entries: list[Any] = []
        self.slots: list[int] = []
        self.given: Any = self._taken(source)
        if isinstance(source, _VIEWS):
            self.given, _ = source, [*self.given]

    def _taken(self, source: Iterable[Any]) -> Iterator[Any]:
        for entry in source:
            self.entries.append(entry)
            self.slots += map(self._slot, numbers_of(entry))
            yield entry


_VIEWS = (type({}.keys()), type({}.values()), type({}.items()))


def drawn(value: Any, slot: Callable[[Any], int]) -> Any:
    """Wraps an argument if it is an iterator of Python's or a view of a dict.

    An open file, or an iterator of a library, is more than its entries, and is left alone.

    Args:
        value: the argument.
        slot: gives the slot of a number.
    """
    own = type(value).__module__ in ("builtins", "itertools") and isinstance(value, Iterator)
    return Drawn(value, slot) if own or isinstance(value, _VIEWS) else value


def with_numbers(given: Any, own: dict[int, Any], taken: Iterator[Any]) -> Any:
    """Makes the arguments of a call with other numbers in them.

    Args:
        given: the arguments.
        own: the new numbers by the `id` of the old ones; but for
        taken: those that are taken of what is `Drawn`, in their order.
    """

    def of_entry(x: Any) -> Any:
        return next(taken) if is_number(x) else x

    def of(x: Any) -> Any:
        if isinstance(x, Drawn):
            entries = _replaced(x.entries, of_entry)
            # NumPy takes a generator for more than any other iterator.
            return (entry for entry in entries)
        return own.get(id(x), x)

    return _replaced(given, of)


def _replaced(tree: Any, of: Callable[[Any], Any]) -> Any:
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_replaced(own, of) for own in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(_replaced(own, of) for own in tree)
    if isinstance(tree, dict):
        return {key: _replaced(own, of) for key, own in tree.items()}
    return of(tree)
