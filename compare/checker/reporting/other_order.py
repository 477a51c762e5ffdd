"""A bwd that takes the cotangent before the residuals: told by the numbers that it gives so."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.checker.gradient_report import GradientReport
from compare.checker.sides.question import Question
from compare.trees import by_path, largest, largest_difference

__all__ = ["with_the_other_order"]

Backward = Callable[..., Any]

_TOLD = (
    "with its two arguments swapped bwd gives jax.grad's numbers: it is called as "
    "bwd(residuals, d_out)"
)


def with_the_other_order(
    report: GradientReport, bwd: Backward, asked: Callable[[Backward], Question]
) -> GradientReport:
    """Tells in the report of a wrong pair if its bwd is right with its arguments swapped.

    Args:
        report: of the pair.
        bwd: its backward half.
        asked: `asked(bwd)` is the same question of another backward half.
    """
    if report.verdict != "manual_wrong":
        return report

    @functools.wraps(bwd)
    def other(residuals: Any, d_out: Any, **static: Any) -> Any:
        return bwd(d_out, residuals, **static)

    with contextlib.suppress(Exception):  # Whatever a person's bwd does to what is not its own.
        question = asked(other)
        gradient, wanted = (
            by_path(side.fn(question.params, *question.args)[1])
            for side in (question.manual, question.autodiff)
        )
        if gradient.keys() == wanted.keys() and all(
            _is_near(gradient[path], leaf) for path, leaf in wanted.items()
        ):
            return dataclasses.replace(report, details=(_TOLD, *report.details))
    return report


def _is_near(x: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether two arrays are alike to four digits."""
    return x.shape == wanted.shape and largest_difference(x, wanted) <= 1e-4 * largest(wanted)
