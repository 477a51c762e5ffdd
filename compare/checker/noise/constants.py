"""The constants of both sides that are not exact: 0.1 of float32 is 0.100000001 in float64."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from compare.checker.sides.evaluation import Sides
from compare.checker.sides.side import Constant, Side
from compare.checker.sides.widened import Rounded, rounding, widened

__all__ = [
    "constants_of",
    "exact_values",
    "has_rounded_constants",
    "in_full",
    "is_traced",
    "shortest",
]


def has_rounded_constants(sides: Sides, arrays: list[Any]) -> bool:
    """Tells whether one of the programs may have a constant known less well than float64 can.

    Args:
        sides: whose.
        arrays: the point, in float64.
    """
    return any(_rounds_constants(sides, side, arrays) for side in (sides.manual, sides.autodiff))


def is_traced(sides: Sides, arrays: list[Any]) -> bool:
    """Tells whether manual has a program, as what is computed by NumPy has not."""
    return _rounds_constants(sides, sides.manual, arrays) is not None


def _rounds_constants(sides: Sides, side: Side, arrays: list[Any]) -> bool | None:
    try:
        return sides.evaluation.program(side, arrays, on_cpu=True).rounds_constants
    except Exception:
        return None


def constants_of(
    sides: Sides, arrays: list[Any]
) -> tuple[set[Rounded] | None, set[Rounded] | None]:
    """Collects the constants that are not exact, of both sides as they are written.

    Args:
        sides: whose.
        arrays: the point, in a type in which both can be traced.

    Returns:
        Those of manual and those of the loss; None for a side that cannot be traced.
    """
    layout, loss = sides.evaluation.layout, sides.autodiff.loss
    assert loss is not None

    def of(fn: Callable[..., Any]) -> set[Rounded] | None:
        found: set[Rounded | None] = set()

        def constant(value: Any) -> Any:
            found.add(rounding(value))
            return value

        def all_of(arrays: list[Any]) -> Any:
            params, args = layout.rebuild(arrays)
            return widened(fn, constant)(params, *args)

        try:
            jax.eval_shape(all_of, arrays)
        except Exception:  # NumPy, a number of another type in a carry.
            return None
        return {known for known in found if known is not None}

    return of(sides.manual.fn), of(loss)


def exact_values(constants: Iterable[Rounded]) -> set[float]:
    """Returns the values of those that are known as well as float64 can."""
    return {constant.value for constant in constants if not constant.margin}


def in_full(manual: set[Rounded], loss: set[Rounded]) -> Constant | None:
    """Returns what every constant is before it is rounded, where one of float64 tells it.

    Args:
        manual: what rounding has changed of manual, as `constants_of` has it.
        loss: the same of the loss.

    Returns:
        `constant(value)`, as `widened` takes it; None where one side has a constant that is rounded
        further than others, and it is not known from what.
    """
    constants = manual | loss
    if len({(constant.dtype, constant.margin > 0) for constant in constants}) <= 1:
        return lambda value: value
    exact = exact_values(constants)
    full: dict[Rounded | None, float] = {}
    for constant in constants:
        if not constant.margin:
            continue
        before = {number for number in exact if constant.comes_from(number)}
        if len(before) == 1:
            full[constant] = before.pop()
        elif before or (constant.dtype != np.float64 and constant not in manual & loss):
            return None

    def constant_in_full(value: Any) -> Any:
        number = full.get(rounding(value))
        return value if number is None else np.full(np.shape(value), number)

    return constant_in_full


def shortest(constants: set[Rounded]) -> set[Rounded]:
    """Returns the shortest numbers that are rounded to these: what a person will have written."""
    numbers = (float(str(np.asarray(c.value).astype(c.dtype))) for c in constants)
    return {Rounded(np.dtype(np.float64), number) for number in numbers}
