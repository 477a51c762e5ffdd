"""Central differences at several steps, extrapolated (Richardson 1911; Ridders 1982), of any loss.

Their error bar is their own: how much the extrapolations differ among themselves, plus the rounding
of the loss over the step.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.noise.rounding import unit_in_last_place
from compare.checker.numerical.derivative import Derivative, Leaves, Loss
from compare.checker.sides.side import compiled
from compare.trees import aligned_empty

__all__ = ["central_differences", "confirmed_differences", "eager_differences", "zeros"]

_SMALLEST_STEP, _STEPS = 2.0**-12, 10
_SMALLEST_FINE_STEP, _FINE_STEPS = 2.0**-20, 16

_AT_ONCE = 2
"""So many steps are one program, the smallest ones first: they are often enough."""

_STEPS_IN_PYTHON = 7
"""Fewer where each is two calls of a person's function."""


def central_differences(
    loss: Loss, smallest: float = _SMALLEST_STEP, count: int = _STEPS
) -> Derivative:
    """Returns central differences at so many steps, each twice the one before: a few at once."""

    @compiled
    def values(
        leaves: list[Any], direction: list[Any], constants: list[Any], steps: Any
    ) -> jax.Array:
        def at(step: Any) -> Any:
            return loss([x + step * d for x, d in zip(leaves, direction, strict=True)], constants)

        return jax.lax.map(at, jnp.concatenate([steps, -steps]))

    placed: dict[str, Any] = {}  # On the device, of the last leaves.

    def derivative(
        leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        if placed.get("of") is not leaves:
            placed.update(of=leaves, own=jax.device_put([*leaves.values()]), zeros={})
        nothing = placed["zeros"]
        for path in leaves.keys() - direction.keys() - nothing.keys():
            nothing[path] = jax.device_put(zeros(leaves[path], leaves[path].dtype))
        directions = [direction[path] if path in direction else nothing[path] for path in leaves]
        slopes, per_step = np.zeros(0), np.zeros(0)
        best, error = math.nan, math.inf
        for first in range(0, count, _AT_ONCE):
            steps = smallest * 2.0 ** np.arange(first, first + _AT_ONCE)[::-1]
            found = np.asarray(values(placed["own"], directions, constants, steps))
            up, down = np.split(found, 2)
            slopes = np.concatenate([(up - down) / (2 * steps), slopes])
            per_step = np.concatenate([np.maximum(np.abs(up), np.abs(down)) / steps, per_step])
            best, error = _extrapolate(slopes, per_step)
            if error <= enough:
                break
        return best, error

    return derivative


def confirmed_differences(loss: Loss) -> Derivative:
    """Returns central differences down to small steps, at two sets that must find the same.

    A step over a kink gives each set another number, and so a large error bar.
    """
    sets = [
        central_differences(loss, share * _SMALLEST_FINE_STEP, _FINE_STEPS) for share in (1.0, 0.71)
    ]

    def derivative(
        leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        (one, bar), (other, second) = (of(leaves, constants, direction) for of in sets)
        return one, max(bar, second, abs(one - other))

    return derivative


def eager_differences(loss: Loss) -> Derivative:
    """Returns central differences of a loss that jax cannot trace, one call after another."""
    steps = _SMALLEST_STEP * 2.0 ** np.arange(_STEPS_IN_PYTHON)[::-1]

    def derivative(
        leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        def at(step: float) -> float:
            return float(
                loss([x + step * direction.get(path, 0.0) for path, x in leaves.items()], constants)
            )

        up, down = np.array([at(s) for s in steps]), np.array([at(-s) for s in steps])
        return _extrapolate((up - down) / (2 * steps), np.maximum(np.abs(up), np.abs(down)) / steps)

    return derivative


def _extrapolate(slopes: np.ndarray, per_step: np.ndarray) -> tuple[float, float]:
    """Richardson's table on central differences, whose error is a series in the step squared.

    Of all entries the one with the smallest error bar: the distance to the two it was made from,
    three times over, and the rounding of the loss divided by the step, magnified by the table.
    """
    rounding = 4 * unit_in_last_place(np.float64) * per_step
    best, error = float(slopes[0]), np.inf
    row = slopes
    for k in range(1, len(slopes)):
        weight = 4.0**k
        better = (weight * row[1:] - row[:-1]) / (weight - 1)
        bars = (
            3 * np.maximum(np.abs(better - row[1:]), np.abs(better - row[:-1])) + 2 * rounding[k:]
        )
        i = int(np.argmin(bars))
        if bars[i] < error:
            best, error = float(better[i]), float(bars[i])
        row = better
    return best, error


def zeros(like: np.ndarray, dtype: Any) -> np.ndarray:
    """Makes zeros in the shape of another array, which jax takes without a copy."""
    found = aligned_empty(like.shape, dtype)
    found.fill(0)
    return found
