"""The two questions of a comparison, each with the noise that answers it.

Question 1 is the mathematics: both sides in float64. Question 2 is the arithmetic: manual in the
dtype asked for, against the float64 gradient.
"""

import contextlib

import jax.numpy as jnp
import numpy as np

from compare.checker import comparison
from compare.checker.comparison import Accuracy, Comparison
from compare.checker.noise.measure import (
    MANY_DRAWS,
    Noise,
    in_narrower,
    larger,
    monte_carlo,
    two_precisions,
)
from compare.checker.noise.persistence import is_in_float32, is_mathematics
from compare.checker.sides.evaluation import DRAWS, Point, Sides
from compare.checker.sides.float64 import float64_on_cpu, is_float64_on_cpu
from compare.checker.sides.narrowing import Narrowing
from compare.checker.sides.side import Arrays
from compare.trees import is_inexact, shape_of

__all__ = ["arithmetic", "mathematics", "redraws"]


def mathematics(
    sides: Sides, own: Point, exact: Point, narrow: Narrowing | None, accuracy: Accuracy
) -> Comparison:
    """Answers question 1 by the cheapest measurement of the noise that does.

    Args:
        sides: how to run both.
        own: what they return in the dtype asked for.
        exact: the same in float64.
        narrow: the narrower type that manual computes in, or None.
        accuracy: how much of its largest entry a leaf may be off by, whatever the noise.
    """
    if narrow is not None:
        return _in_its_own_precision(sides, exact, narrow, accuracy)

    def by(measured: Noise) -> Comparison:
        return comparison.mathematics(exact, measured, accuracy=accuracy)

    if redraws(sides, own):
        return by(_monte_carlo(sides, exact, exact=True))
    noise = two_precisions(sides, own.arrays)
    if noise.begin_with(own.autodiff, exact.autodiff):
        found = by(noise.in_float64(1))
        if comparison.is_all_wrong(found) and is_in_float32(sides, own, exact, found):
            return found
    found = by(noise.in_float64(noise.first_draws))
    if comparison.is_clear(found) or (
        comparison.is_measured(found) and is_in_float32(sides, own, exact, found)
    ):
        return found
    measured = noise.in_float64(DRAWS)
    found = by(measured)
    if comparison.is_settled(found) or (
        comparison.is_measured(found)
        and not comparison.is_close(found)
        and is_mathematics(sides, own, exact, found)
    ):
        return found
    return by(larger(measured, _monte_carlo(sides, exact, exact=True)))


def _in_its_own_precision(
    sides: Sides, exact: Point, narrow: Narrowing, accuracy: Accuracy
) -> Comparison:
    """Question 1 where manual computes in a narrower type than float64."""
    found: Comparison = {}
    for draws in (MANY_DRAWS, 4 * MANY_DRAWS):
        noise = in_narrower(sides, exact.arrays, narrow.dtype, draws)
        found = comparison.mathematics(exact, noise, dtype=narrow.dtype, accuracy=accuracy)
        if comparison.is_settled(found) or not comparison.is_close(found):
            break
    return found


def arithmetic(
    sides: Sides, own: Point, exact: Point, narrow: Narrowing | None, accuracy: Accuracy
) -> Comparison:
    """Answers question 2 in the same way, and takes the same."""

    def by(measured: Noise) -> Comparison:
        return comparison.arithmetic(own, exact, measured, accuracy=accuracy)

    if narrow is not None and narrow.unit >= _unit(own.arrays):
        return by(in_narrower(sides, exact.arrays, narrow.dtype))
    if redraws(sides, own):  # No other point has the same random numbers.
        noise = _monte_carlo(sides, own, exact=False)
        return comparison.arithmetic(own, own, noise, accuracy=accuracy)
    noise = two_precisions(sides, own.arrays)
    found = by(noise.in_dtype(noise.first_draws))
    if comparison.is_clear(found):
        return found
    measured = noise.in_dtype(DRAWS)
    found = by(measured)
    if comparison.is_settled(found):
        return found
    return by(larger(measured, _monte_carlo(sides, own, exact=False)))


def redraws(sides: Sides, own: Point) -> bool:
    """Tells whether the loss draws other random numbers in float64 than in the dtype asked for.

    Then the two precisions differ by more than rounding, and do not measure it.
    """
    if is_float64_on_cpu(own.arrays):
        return False
    exact = [shape_of(x, np.float64) for x in own.arrays]
    return sides.evaluation.program(sides.autodiff, exact, on_cpu=True).redraws


def _monte_carlo(sides: Sides, point: Point, *, exact: bool) -> Noise:
    with float64_on_cpu() if exact else contextlib.nullcontext():
        return monte_carlo(sides, point, freeze_decisions=exact)


def _unit(arrays: Arrays) -> float:
    return max((float(jnp.finfo(x.dtype).eps) for x in arrays if is_inexact(x)), default=0.0)
