"""The referee as the only judge, where jax cannot differentiate the loss.

A while loop has no reverse mode, and a callback no derivative at all. Then manual's gradient is
held against numerical derivatives of the loss: every entry where there are few, and otherwise some
entries of each leaf and random directions through it.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.comparison import Rows, disagreeing
from compare.checker.leaf import Leaf, Loss
from compare.checker.referee import REFUTED, along, derivative_of, random_direction
from compare.checker.sides.evaluation import Result, Sides
from compare.checker.sides.float64 import float64_on_cpu
from compare.checker.sides.side import Arrays
from compare.trees import by_path, cast, in_double

__all__ = ["finding"]

_EVERY_ENTRY = 64
"""With so many entries in all, each is a direction; with more, so many of each leaf as follows."""
_ENTRIES, _RANDOM = 4, 2

_UNITS = 64
"""The rounding of manual itself, which is not measured here, in units in the last place."""


def finding(
    sides: Sides, manual: Result, arrays: Arrays, reason: str
) -> tuple[str, Loss, Rows, list[str], float]:
    """Judges manual's gradient by the referee alone.

    Args:
        sides: the two sides, of which autodiff's loss is taken.
        manual: what manual returned.
        arrays: the point, in the dtype asked for.
        reason: why it judges alone.

    Returns:
        The verdict, the losses, the rows by key, sentences, and the smallest error that would have
        been caught.

    Raises:
        ValueError: the loss cannot be evaluated in float64.
    """
    wide = [cast(x, np.float64) for x in arrays]
    manual_wide = _in_float64(sides, manual, wide)
    gradient = by_path(manual_wide.grads)
    leaves = {path: in_double(x) for path, x in zip(gradient, wide, strict=False)}
    with float64_on_cpu():
        loss = _loss(sides)
        constants = [jnp.asarray(x) for x in wide[len(gradient) :]]
        value = float(jax.jit(loss)(list(leaves.values()), constants))
        own_value = _value(sides, wide, manual_wide.total)
        rows = _rows(loss, leaves, constants, gradient)
    losses = Loss(own_value, value, value)
    unit = max(float(jnp.finfo(x.dtype).eps) for x in gradient.values())
    details = [f"{reason}: judged by the referee alone"]
    wrong = disagreeing(rows)
    detectable = max(row.tolerance for row in rows.values())
    if wrong:
        return "manual_wrong", losses, rows, [*wrong, *details], detectable
    if not abs(own_value - value) <= _UNITS * unit * max(1.0, abs(value)):
        told = f"loss: manual has {own_value:.9g} where the loss has {value:.9g}"
        return "loss_differs", losses, rows, [told, *details], detectable
    if not any(g.any() for g in gradient.values()):
        told = "nothing was tested: every entry of the gradient is 0; give another point"
        return "inconclusive", losses, rows, [told, *details], detectable
    return "agree", losses, rows, details, detectable


def _in_float64(sides: Sides, manual: Result, wide: Arrays) -> Result:
    """What manual returns in float64, where it can, and computes in it; else what it returned."""
    evaluation = sides.evaluation
    try:
        found = evaluation.run(sides.manual, wide, on_cpu=True)
        narrow = evaluation.jit and evaluation.program(sides.manual, wide, on_cpu=True).narrowing
    except Exception:  # It runs in the dtype asked for alone.
        return manual
    return manual if narrow else found


def _value(sides: Sides, wide: Arrays, total: float) -> float:
    """What manual says the loss is; of a rule that is the inner product with the cotangents."""
    if sides.manual.value is None:
        return total
    params, args = sides.evaluation.layout.rebuild([jnp.asarray(x) for x in wide])
    try:
        return float(sides.manual.value(params, *args))
    except Exception:  # It runs in the dtype asked for alone.
        return total


def _loss(sides: Sides) -> Any:
    layout, loss = sides.evaluation.layout, sides.autodiff.loss
    assert loss is not None

    def of(leaves: list[Any], constants: list[Any]) -> Any:
        params, args = layout.rebuild([*leaves, *constants])
        return loss(params, *args)

    return of


def _rows(
    loss: Any,
    leaves: dict[str, np.ndarray],
    constants: list[Any],
    gradient: dict[str, np.ndarray],
) -> Rows:
    """One row for each leaf: along each direction what manual has and what the referee finds."""
    _, derivative = derivative_of(loss, leaves, constants)
    every = sum(x.size for x in leaves.values()) <= _EVERY_ENTRY
    exact = {path: in_double(g) for path, g in gradient.items()}
    rows: Rows = {}
    for number, (path, leaf) in enumerate(leaves.items()):
        rng = np.random.default_rng(number)
        found = [
            (along(exact, direction), *derivative(leaves, constants, direction))
            for direction in _directions(path, leaf, every, rng)
        ]
        by_manual, by_referee, bars = (np.array(column) for column in zip(*found, strict=True))
        largest = float(np.max(np.abs(by_referee), initial=0))
        rounding = _UNITS * float(jnp.finfo(gradient[path].dtype).eps) * largest
        noise = float(np.max(bars, initial=0))
        row = Leaf.compare(
            path, by_manual, by_referee, dtype=gradient[path].dtype, noise=noise,
            tolerance=REFUTED * noise + rounding,
        )  # fmt: skip
        rows[("grad", path)] = dataclasses.replace(row, shape=leaf.shape, error_map=None)
    return rows


def _directions(path: str, leaf: np.ndarray, every: bool, rng: np.random.Generator) -> Any:
    count = leaf.size if every else min(_ENTRIES, leaf.size)
    parts = (1.0, 1.0j) if np.iscomplexobj(leaf) else (1.0,)
    for index in rng.permutation(leaf.size)[:count]:
        for part in parts:
            direction = np.zeros_like(leaf)
            direction.flat[index] = part
            yield {path: direction}
    if not every:
        for _ in range(_RANDOM):
            yield random_direction(rng, {path: leaf})
