"""Prepares the two sides of a check, so that what is timed is what is proved.

A check keeps what it has compiled by what it computes. An engine that is prepared here first is
compiled alone, and the check of the same question runs the very program.
"""

import time
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from compare.benchmark.timing import Prepared, of_program
from compare.checker.sides.question import Question
from compare.checker.sides.side import Program
from compare.trees import is_key

__all__ = ["engine", "engines"]


def engines(ask: Callable[[], Question]) -> dict[str, Callable[[], Prepared]]:
    """Returns `prepare()` of both sides of a question.

    Args:
        ask: `ask() -> question`, which may take memory, and is called when an engine is prepared.
    """
    return {
        "manual": lambda: engine(ask(), "manual"),
        "autodiff": lambda: engine(ask(), "autodiff"),
    }


def engine(question: Question, name: Literal["manual", "autodiff"]) -> Prepared:
    """Prepares one side of a question, at its point."""
    side = question.manual if name == "manual" else question.autodiff
    arrays, layout = question.point
    own = [x if is_key(x) else jnp.asarray(x, x.dtype) for x in arrays]
    start = time.perf_counter()
    traced = side.trace(own, layout)
    tracing = time.perf_counter() - start
    program = Program(traced, plain=False)
    executable = program.compile()
    return of_program(executable, (own,), traced.jaxpr, seconds=tracing + program.seconds)
