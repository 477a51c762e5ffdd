"""Constants that are rounded: are they all that two gradients differ by?

Where one side has 0.1 of float32, which is 0.100000001, and the other has 0.1 in full, neither is
wrong: in float32 they are the same. Nor is 0.79788456 where the other side has all digits of
√(2/π). Such a constant is known to a few halves of a unit in the last place of its type, or to one
in the last of its written digits (`Rounded`). Where other values in that range make the difference
vanish, in every entry of every leaf and to the digits of float64, there was none.

The values are found by least squares: moved by t_i of its margin h_i, |t_i| ≤ 1, each, the
constants c make a difference d of the two sides

    d(c + Σ_i h_i t_i) ≈ d(c) + Σ_i (d(c + h_i) − d(c)) t_i = 0

which is repeated with what is left (Newton's method, with the slopes of the beginning). A constant
that both sides have is moved in both.

Of what NumPy computes with nothing is known. There the loss's constants are moved, by so little as
float32 rounds, and each has to come to itself or to what it is rounded to, by float32 or to so many
digits.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.noise.constants import (
    constants_of,
    exact_values,
    has_rounded_constants,
    is_traced,
)
from compare.checker.sides.evaluation import Key, Point, Result, Sides
from compare.checker.sides.float64 import float64_on_cpu
from compare.checker.sides.side import Constant, Side, compiled
from compare.checker.sides.widened import Rounded, rounding, widened
from compare.trees import in_double, largest

__all__ = ["Fitted", "at_fitted_constants"]


class Fitted(NamedTuple):
    """What both sides return at constants that explain how they differed.

    Attributes:
        point: it.
        hidden: an error that constants could explain as well: the most that the margins of all
            change any entry of the gradient by.
        telling: whether it says something: as many constants as there are entries explain much.
    """

    point: Point
    hidden: float
    telling: bool

    def __str__(self) -> str:
        return (
            "both differ by constants alone, which one has rounded, to a narrower type or to fewer "
            "digits: at others within that rounding, which is worth "
            f"{self.hidden:.0e} here at most, they agree"
        )


def at_fitted_constants(sides: Sides, exact: Point, tolerances: dict[Key, float]) -> Fitted | None:
    """Finds the constants at which both sides return the same.

    Args:
        sides: how to run both.
        exact: what they returned in float64.
        tolerances: how much of a leaf's difference rounding explains.

    Returns:
        None where no constant is rounded, more than 16 are, or no values of theirs explain it.
    """
    arrays, make = exact.arrays, sides.autodiff.at_constants
    in_numpy = not is_traced(sides, arrays)
    if make is None or not (
        _is_of_float32(exact, tolerances) if in_numpy else has_rounded_constants(sides, arrays)
    ):
        return None
    with float64_on_cpu():
        arrays = jax.device_put(arrays)
        manual, loss = (own or set() for own in constants_of(sides, arrays))
        margins = {constant: constant.margin for constant in _inexact(manual, loss)}
        if in_numpy:
            narrow = {constant: constant._replace(dtype=np.dtype(np.float32)) for constant in loss}
            margins = {c: max(c.margin, narrow[c].margin) for c in loss}
        if not 0 < len(margins) <= _MANY:
            return None
        constants = sorted(margins, key=lambda constant: (constant.value, str(constant.dtype)))
        steps = np.array([margins[constant] for constant in constants])
        moved = {
            "manual": (manual, lambda constant: Side(widened(sides.manual.fn, constant))),
            "autodiff": (loss, make),
        }
        runs = {
            name: _moving(side, arrays, sides, constants, steps)
            for name, (own, side) in moved.items()
            if own & margins.keys()
        }
        fit = _Fit(exact, tolerances, runs, len(constants))
        t = fit.place()
        if t is None or (in_numpy and not _are_rounded(constants, t * steps, steps)):
            return None
        return Fitted(fit.at(t), fit.worth(), _is_telling(constants, exact))


_MANY = 16
"""Each costs a run of the gradient."""

_STEPS = 8
"""Each leaves of the rest no more than the share by which a constant is off: 2⁻⁹ in bfloat16."""

_ENTRIES = 4096
"""About so many entries of a leaf are fitted; all of them have to agree."""


def _is_of_float32(exact: Point, tolerances: dict[Key, float]) -> bool:
    """Whether the difference is no larger than the digits of float32 explain."""
    reference = exact.leaves("autodiff")
    return all(
        largest(difference) <= max(tolerance, 1e-6 * largest(reference[key]))
        for (key, tolerance), difference in zip(
            tolerances.items(), exact.differences([*tolerances]), strict=True
        )
    )


def _inexact(manual: set[Rounded], loss: set[Rounded]) -> set[Rounded]:
    """Those that are known less well than float64 can.

    A number of some digits is what it says, unless the other side has it with all.
    """
    exact = exact_values(manual | loss)
    return {
        constant
        for constant in manual | loss
        if constant.margin
        and (constant.dtype != np.float64 or any(map(constant.comes_from, exact)))
    }


def _is_telling(constants: list[Rounded], exact: Point) -> bool:
    """Whether so few constants cannot explain whatever so many entries differ by.

    In float32 that is no more than rounding there, and does no harm.
    """
    entries = sum(
        leaf.size for (kind, _), leaf in exact.leaves("autodiff").items() if kind == "grad"
    )
    unit = max(float(jnp.finfo(constant.dtype).eps) for constant in constants)
    return unit <= float(jnp.finfo(np.float32).eps) or entries >= 2 * len(constants)


def _are_rounded(constants: list[Rounded], moves: np.ndarray, steps: np.ndarray) -> bool:
    """Whether each exact one has come to itself, or to what it is in float32 or to some digits."""

    def is_rounded(constant: Rounded, move: float, step: float) -> bool:
        number = constant.value
        known = [number, float(np.float32(number))]
        known += [float(f"{number:.{digits}e}") for digits in range(6, 14)]
        return constant.margin > 0 or any(
            abs(number + move - other) <= 1e-3 * step for other in known
        )

    return all(map(is_rounded, constants, moves, steps))


def _moving(
    make: Callable[[Constant], Side],
    arrays: list[Any],
    sides: Sides,
    constants: list[Rounded],
    steps: np.ndarray,
) -> Callable[[np.ndarray], Result]:
    """One side as a function of how far its constants are moved, in steps."""
    numbers = np.array([constant.value for constant in constants])
    places: dict[Rounded | None, int] = {known: at for at, known in enumerate(constants)}

    @compiled
    def run(t: jax.Array, arrays: list[Any]) -> Any:
        moved = numbers + steps * t

        def constant(value: Any) -> Any:
            place = places.get(rounding(value))
            return value if place is None else moved[place].reshape(np.shape(value))

        return make(constant).eager(arrays, layout=sides.evaluation.layout)

    return lambda t: Result(*run(t, arrays))


class _Fit:
    """Both sides as a function of their constants."""

    def __init__(
        self,
        exact: Point,
        tolerances: dict[Key, float],
        runs: dict[str, Callable[[np.ndarray], Result]],
        count: int,
    ):
        self._exact, self._runs, self._count = exact, runs, count
        self._tolerances = {key: own for key, own in tolerances.items() if own > 0}
        self._as_given = {name: run(np.zeros(count)) for name, run in runs.items()}

    def place(self) -> np.ndarray | None:
        """Returns how far the constants are moved where both agree; None where they do nowhere."""
        t = np.zeros(self._count)
        point, start = self._exact, self._left(self._exact)
        slopes = np.stack([self._left(one) - start for one in self._moved], axis=1)
        for _ in range(_STEPS):
            # Two constants that do the same are moved alike, and not against each other.
            t = t - np.linalg.lstsq(slopes, self._left(point), rcond=_ALIKE)[0]
            if not np.all(np.abs(t) <= _WITHIN):
                return None
            point = self.at(t)
            differences = zip(self._tolerances.values(), self._differences(point), strict=True)
            if all(largest(d) <= tolerance for tolerance, d in differences):
                return t
        return None

    @functools.cached_property
    def _moved(self) -> list[Point]:
        return [self.at(one) for one in np.eye(self._count)]

    def at(self, t: np.ndarray) -> Point:
        """Returns what both did, and how it is moved by other constants."""

        def moved(name: str) -> Result:
            trees = getattr(self._exact, name), self._as_given[name], self._runs[name](t)
            return Result(
                *jax.tree.map(
                    lambda x, given, there: in_double(x) + (in_double(there) - in_double(given)),
                    *map(tuple, trees),
                )
            )

        return self._exact._replace(**{name: moved(name) for name in self._runs})

    def _differences(self, point: Point) -> list[np.ndarray]:
        return point.differences([*self._tolerances])

    def _left(self, point: Point) -> np.ndarray:
        """What some entries of every leaf differ by, in tolerances."""
        rows = [
            np.ravel(d)[:: d.size // _ENTRIES + 1] / tolerance
            for d, tolerance in zip(
                self._differences(point), self._tolerances.values(), strict=True
            )
        ]
        flat: Any = np.concatenate(rows)
        return np.concatenate([flat.real, flat.imag])

    def worth(self) -> float:
        """Returns the most that the constants, each moved by a step, change the difference by."""
        keys = [key for key in self._tolerances if key[0] == "grad"]
        start = self._exact.differences(keys)
        by_constant = [
            [np.abs(d - s) for d, s in zip(one.differences(keys), start, strict=True)]
            for one in self._moved
        ]
        return max((largest(sum(leaf)) for leaf in zip(*by_constant, strict=True)), default=0.0)


_ALIKE = 1e-5
_WITHIN = 1.001
"""A step, and what the slopes are known to."""
