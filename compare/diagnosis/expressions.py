"""Expressions: the part of a line of the user's source that an equation of a jaxpr comes from."""

import itertools
from typing import NamedTuple

from jax.extend import core

from compare.sites import is_users

__all__ = ["Expression", "expression_of"]


class Expression(NamedTuple):
    """A stretch of source; lines from 1, columns from 0, in bytes, the last one excluded."""

    file: str
    line: int
    end_line: int
    column: int
    end_column: int


def expression_of(eqn: core.JaxprEqn) -> Expression | None:
    """Finds the innermost expression of the user's code that led to an equation.

    Returns:
        It, or None where no frame is the user's or the interpreter keeps no columns.
    """
    traceback = eqn.source_info.traceback
    if traceback is None:
        return None
    for code, instruction in zip(*traceback.raw_frames(), strict=True):
        if is_users(code.co_filename):
            positions = itertools.islice(code.co_positions(), instruction // 2, None)
            line, end_line, column, end_column = next(positions, (None,) * 4)
            if line is None or end_line is None or column is None or end_column is None:
                return None
            return Expression(code.co_filename, line, end_line, column, end_column)
    return None
