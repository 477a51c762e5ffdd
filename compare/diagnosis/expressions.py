"""Expressions: the part of a line of the user's source that an equation of a jaxpr comes from."""

import itertools
import linecache
from typing import Any, NamedTuple

from jax.extend import core

from compare.sites import is_library, is_of_a_rule, is_users

__all__ = [
    "Expression",
    "expression_of",
    "is_in_a_rule",
    "lines_of",
    "source_of",
    "span_of",
]

_LONGEST = 32
"""Of an expression that stands for its value in a sentence."""


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
    return span_of((zip(*traceback.raw_frames(), strict=True), None, None))


def span_of(origin: Any) -> Expression | None:
    """Finds the innermost expression that led to an equation.

    Args:
        origin: of the equation, see `lines_of`.

    Returns:
        It, or None where it is not known.
    """
    frames = origin[0] if origin is not None else ()
    for code, instruction in frames or ():
        if is_users(code.co_filename):
            positions = itertools.islice(code.co_positions(), instruction // 2, None)
            line, end_line, column, end_column = next(positions, (None,) * 4)
            if line is None or end_line is None or column is None or end_column is None:
                return None
            return Expression(code.co_filename, line, end_line, column, end_column)
    return None


def source_of(origin: Any) -> str:
    """Returns the source of the innermost expression that led to an equation.

    Args:
        origin: of the equation, see `lines_of`.

    Returns:
        The source; "" where it is not known, is on several lines, or has more than 32 characters.
    """
    own = span_of(origin)
    if own is None or own.line != own.end_line:
        return ""
    line = linecache.getline(own.file, own.line).encode()
    source = line[own.column : own.end_column].decode()
    return source if len(source) <= _LONGEST else ""


def lines_of(origin: Any) -> list[str]:
    """Lists the user's lines that led to an equation, the innermost first.

    Args:
        origin: of the equation: the frames of its traceback, a position, and the origin of the
            call that it is in.

    Returns:
        `file:line` of each, as far as the function that the checker called.
    """
    found: list[str] = []
    while origin is not None:
        frames, _, origin = origin
        for code, instruction in frames or ():
            file = code.co_filename
            if is_users(file):
                positions = itertools.islice(code.co_positions(), instruction // 2, None)
                found.append(f"{file}:{next(positions, (0,))[0]}")
            elif not is_library(file):
                return list(dict.fromkeys(found))
    return list(dict.fromkeys(found))


def is_in_a_rule(site: str, origin: Any) -> bool:
    """Tells whether an equation is in a half of a rule, where its own line is not known.

    Args:
        site: of the equation.
        origin: as in `lines_of`.
    """
    while origin is not None:
        frames, _, caller = origin
        # A person's function that the half calls has lines of its own.
        call = lines_of((frames, None, None))[:1]
        if is_of_a_rule(code for code, _ in frames or ()) and site in ("", *call):
            return True
        origin = caller
    return False
