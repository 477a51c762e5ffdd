"""The operators of Python, by the names that its syntax tree has for them."""

import operator
from collections.abc import Callable
from typing import Any

__all__ = ["BINARY", "IN_PLACE", "UNARY"]

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
UNARY: dict[str, Callable[..., Any]] = {
    "USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert
}  # fmt: skip
