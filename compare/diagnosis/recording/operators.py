"""The operators of Python, by their names in its syntax tree, and its functions of any object."""

import itertools
import operator
from collections.abc import Callable
from typing import Any

__all__ = ["APPLYING", "BINARY", "GOING_THROUGH", "IN_PLACE", "OF_PYTHON", "UNARY", "WRITING"]

BINARY: dict[str, Callable[..., Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv,
    "MatMult": operator.matmul, "Pow": operator.pow, "FloorDiv": operator.floordiv,
    "Mod": operator.mod, "BitAnd": operator.and_, "BitOr": operator.or_, "BitXor": operator.xor,
    "LShift": operator.lshift, "RShift": operator.rshift, "Eq": operator.eq, "NotEq": operator.ne,
    "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge,
}  # fmt: skip
IN_PLACE: dict[str, Callable[..., Any]] = {
    "Add": operator.iadd, "Sub": operator.isub, "Mult": operator.imul, "Div": operator.itruediv,
    "MatMult": operator.imatmul, "Pow": operator.ipow, "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod, "BitAnd": operator.iand, "BitOr": operator.ior,
    "BitXor": operator.ixor, "LShift": operator.ilshift, "RShift": operator.irshift,
}  # fmt: skip
WRITING = frozenset(IN_PLACE.values())
UNARY: dict[str, Callable[..., Any]] = {
    "USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert
}  # fmt: skip

OF_PYTHON: tuple[Any, ...] = (len, range, reversed, isinstance, print, id, type, getattr, next)
"""They take arrays and give none, or give back what they got."""

APPLYING: tuple[Any, ...] = (map, filter)
"""They call a function with what they go through."""

GOING_THROUGH: tuple[Any, ...] = (
    *APPLYING, zip, enumerate, iter, list, tuple, itertools.chain, itertools.islice,
    itertools.pairwise, itertools.zip_longest,
)  # fmt: skip
"""They go through the rows of arrays."""
