"""Constants that a narrower type rounds: are they all that two gradients differ by?

Where one side has 0.1 of float32, which is 0.100000001, and the other has 0.1 in full, neither is
wrong: in float32 they are the same. Such a constant is known to half a unit in the last place of
its type. Where other values in that range make the difference vanish, in every entry of every leaf
and to the digits of float64, there was none.

The values are found by least squares: moved by t_i halves of such a unit, h_i, with |t_i| ≤ 1, the
constants c make a difference d of the two sides

    d(c + Σ_i h_i t_i) ≈ d(c) + Σ_i (d(c + h_i) − d(c)) t_i = 0

which is repeated with what is left (Newton's method, with the slopes of the beginning). A constant
that both sides have is moved in both.
"""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.sides.evaluation import Key, Point, Result, Sides
from compare.checker.sides.float64 import float64_on_cpu
from compare.checker.sides.side import Constant, Side, compiled
from compare.checker.sides.widened import rounded_constants, rounding, widened
from compare.trees import in_double, largest

__all__ = [
    "Fitted", "at_fitted_constants", "constants_of", "has_rounded_constants", "in_full", "shortest",
]  # fmt: skip

Known = tuple[Any, float]
"""The type that has rounded a constant, and its value."""


class Fitted(NamedTuple):
    """What both sides return at constants that explain how they differed.

    Attributes:
        point: it.
        hidden: an error that constants could explain as well: the most that half a unit in the last
            place of each changes any entry of the gradient by.
    """

    point: Point
    hidden: float

    def __str__(self) -> str:
        return (
            "both differ by constants alone, which one has in full and the other rounded to a "
            "narrower type: at others within half a unit in the last place of that type, worth "
            f"{self.hidden:.0e} here at most, they agree"
        )


def has_rounded_constants(sides: Sides, arrays: list[Any]) -> bool:
    """Tells whether one of the programs has a constant of a narrower type than float64.

    Args:
        sides: whose.
        arrays: the point, in float64.
    """
    found: set[Known] = set()
    for side in (sides.manual, sides.autodiff):
        with contextlib.suppress(Exception):  # NumPy has no program.
            found |= sides.evaluation.program(side, arrays, on_cpu=True).constants
    return any(dtype != np.float64 for dtype, _ in found)


def constants_of(sides: Sides, arrays: list[Any]) -> tuple[set[Known], set[Known]]:
    """Collects the constants that rounding has changed, of both sides as they are written.

    Args:
        sides: whose.
        arrays: the point, in a type in which both can be traced.

    Returns:
        Those of manual and those of the loss; of a side that cannot be traced there are none.
    """
    layout, loss = sides.evaluation.layout, sides.autodiff.loss
    assert loss is not None

    def value(arrays: list[Any]) -> Any:
        params, args = layout.rebuild(arrays)
        return loss(params, *args)

    def of(fn: Callable[[list[Any]], Any]) -> set[Known]:
        try:
            return rounded_constants(jax.make_jaxpr(fn)(arrays))
        except Exception:  # NumPy, a number of another type in a carry.
            return set()

    return of(lambda arrays: sides.manual.eager(arrays, layout=layout)), of(value)


def in_full(manual: set[Known], loss: set[Known]) -> Constant | None:
    """Returns what every constant is before it is rounded, where one of float64 tells it.

    Args:
        manual: what rounding has changed of manual, as `constants_of` has it.
        loss: the same of the loss.

    Returns:
        `constant(value)`, as `widened` takes it; None where one side has a constant that is rounded
        further than others, and it is not known from what.
    """
    constants = manual | loss
    if len({dtype for dtype, _ in constants}) <= 1:
        return lambda value: value
    full = {}
    for dtype, value in constants:
        if dtype == np.float64:
            continue
        before = {
            x for own, x in constants
            if own == np.float64 and float(np.asarray(x).astype(dtype)) == value
        }  # fmt: skip
        if len(before) == 1:
            full[dtype, value] = np.float64(before.pop())
        elif before or (dtype, value) not in manual & loss:
            return None

    def constant(value: Any) -> Any:
        known = rounding(value)
        return value if known is None else full.get(known, value)

    return constant


def shortest(constants: set[Known]) -> set[Known]:
    """Returns the shortest numbers that are rounded to these: what a person will have written."""
    numbers = (float(str(np.asarray(value).astype(dtype))) for dtype, value in constants)
    return {(np.dtype(np.float64), number) for number in numbers}


def at_fitted_constants(sides: Sides, exact: Point, tolerances: dict[Key, float]) -> Fitted | None:
    """Finds the constants at which both sides return the same.

    Args:
        sides: how to run both.
        exact: what they returned in float64.
        tolerances: how much of a leaf's difference rounding explains.

    Returns:
        None where no constant is rounded, more than 16 are, or no values of theirs explain it.
    """
    make = sides.autodiff.at_constants
    if make is None or not has_rounded_constants(sides, exact.arrays):
        return None
    with float64_on_cpu():
        arrays = jax.device_put(exact.arrays)
        manual, autodiff = (
            sorted((x for x in own if x[0] != np.float64), key=lambda x: (x[1], str(x[0])))
            for own in constants_of(sides, arrays)
        )
        constants = list(dict.fromkeys([*manual, *autodiff]))
        if not 0 < len(constants) <= _MANY:
            return None
        moved = {
            "manual": lambda constant: Side(widened(sides.manual.fn, constant)),
            "autodiff": make,
        }
        runs = {
            name: _moving(moved[name], arrays, sides, constants)
            for name, own in (("manual", manual), ("autodiff", autodiff))
            if own
        }
        return _Fit(exact, tolerances, runs, len(constants)).fitted()


_MANY = 16
"""Each costs a run of the gradient."""

_STEPS = 8
"""Each leaves of the rest no more than the share by which a constant is off: 2⁻⁹ in bfloat16."""

_ENTRIES = 4096
"""About so many entries of a leaf are fitted; all of them have to agree."""


def _moving(
    make: Callable[[Constant], Side], arrays: list[Any], sides: Sides, constants: list[Known]
) -> Callable[[np.ndarray], Result]:
    """One side as a function of the constants, in halves of a unit from what they are."""
    numbers = np.array([number for _, number in constants])
    # Half a unit in the last place of 1, and of a number in [2ᵏ, 2ᵏ⁺¹).
    halves = np.array([float(jnp.finfo(dtype).eps) / 2 for dtype, _ in constants])
    halves *= 2.0 ** (np.frexp(numbers)[1] - 1)
    places: dict[Known | None, int] = {known: at for at, known in enumerate(constants)}

    @compiled
    def run(t: jax.Array, arrays: list[Any]) -> Any:
        moved = numbers + halves * t

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

    def fitted(self) -> Fitted | None:
        """Returns what both are where they agree; None where they do so nowhere."""
        t = np.zeros(self._count)
        point, moved = self._exact, [self._at(one) for one in np.eye(t.size)]
        start = self._left(point)
        slopes = np.stack([self._left(one) - start for one in moved], axis=1)
        for _ in range(_STEPS):
            # Two constants that do the same are moved alike, and not against each other.
            t = t - np.linalg.lstsq(slopes, self._left(point), rcond=_ALIKE)[0]
            if not np.all(np.abs(t) <= _WITHIN):
                return None
            point = self._at(t)
            differences = zip(self._tolerances.values(), self._differences(point), strict=True)
            if all(largest(d) <= tolerance for tolerance, d in differences):
                return Fitted(point, self._worth(moved))
        return None

    def _at(self, t: np.ndarray) -> Point:
        """What both return at other constants: what they did, and by how much it is moved."""

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

    def _worth(self, moved: list[Point]) -> float:
        """The most that all constants, each moved by half a unit, change the difference by."""
        keys = [key for key in self._tolerances if key[0] == "grad"]
        start = self._exact.differences(keys)
        by_constant = [
            [np.abs(d - s) for d, s in zip(one.differences(keys), start, strict=True)]
            for one in moved
        ]
        return max((largest(sum(leaf)) for leaf in zip(*by_constant, strict=True)), default=0.0)


_ALIKE = 1e-5
_WITHIN = 1.001
"""A half, and what the slopes are known to."""
