"""The constants of a loss, which a narrower type rounds: are they all that two gradients differ by?

A loss that names float32 has 0.1 as 0.100000001, and so has its reference in float64. What is
derived by hand, and has 0.1 in full, is no less right. The constants of the reference are known to
half a unit in the last place of their type: where other values in that range make the difference
vanish, in every entry of every leaf and to the digits of float64, there was none.

The values are found by least squares: moved by t_i halves of such a unit, h_i, with |t_i| ≤ 1,

    manual − reference(c) ≈ Σ_i (reference(c + h_i) − reference(c)) t_i

which is repeated with what is left (Newton's method, with the slopes of the beginning).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.sides.evaluation import Key, Point, Result, Sides
from compare.checker.sides.float64 import float64_on_cpu
from compare.checker.sides.side import Constant, Side, compiled
from compare.trees import largest

__all__ = ["Fitted", "at_fitted_constants", "in_full"]


def in_full(constants: Iterable[tuple[Any, float]]) -> Constant | None:
    """Returns what every constant is before it is rounded, where one of float64 tells it.

    Args:
        constants: type and value of all that rounding has changed, as `rounded_constants` has them.

    Returns:
        `constant(value)`, as `widened` takes it; None where some are rounded further than others,
        and it is not known from what.
    """
    known, narrow = [], []
    for dtype, value in constants:
        (known if dtype == np.float64 else narrow).append((dtype, value))
    if not known:
        return (lambda value: value) if len({dtype for dtype, _ in narrow}) <= 1 else None
    full = {}
    for dtype, value in narrow:
        before = {x for _, x in known if float(np.asarray(x).astype(dtype)) == value}
        if len(before) != 1:
            return None
        full[dtype, value] = np.float64(before.pop())
    return lambda value: full.get(_name(value), value)


class Fitted(NamedTuple):
    """What both sides returned, the reference at constants that explain how they differed.

    Attributes:
        point: it.
        hidden: an error that constants could explain as well: the most that half a unit in the last
            place of each changes any entry of the gradient by.
    """

    point: Point
    hidden: float

    def __str__(self) -> str:
        return (
            "the loss rounds its constants to a narrower type, and manual has them in full: both "
            "agree at constants within half a unit in the last place of that type, which are worth "
            f"{self.hidden:.0e} here at most"
        )


def at_fitted_constants(sides: Sides, exact: Point, tolerances: dict[Key, float]) -> Fitted | None:
    """Finds the constants of the reference at which it is what manual returned.

    Args:
        sides: how to run both.
        exact: what they returned in float64.
        tolerances: how much of a leaf's difference rounding explains.

    Returns:
        None where no constant is rounded, more than 16 are, or no values of theirs explain it.
    """
    with float64_on_cpu():
        arrays = jax.device_put(exact.arrays)
        make = sides.autodiff.at_constants
        if make is None or _is_wide(sides, arrays):
            return None
        constants = _rounded(sides, make, arrays)
        if not 0 < len(constants) <= _MANY:
            return None
        return _fitted(_Reference(sides, make, arrays, constants), exact, tolerances)


_MANY = 16
"""Each costs a run of the gradient."""

_STEPS = 8
"""Each leaves of the rest no more than the share by which a constant is off: 2⁻⁹ in bfloat16."""

_ENTRIES = 4096
"""About so many entries of a leaf are fitted; all of them have to agree."""


def _is_wide(sides: Sides, arrays: list[Any]) -> bool:
    """Whether the loss names no narrower type."""
    return sides.autodiff.in_float64(arrays, sides.evaluation.layout) is sides.autodiff


def _rounded(sides: Sides, make: Any, arrays: list[Any]) -> list[np.generic]:
    """The constants of the loss that rounding has changed."""
    found: dict[Any, np.generic] = {}

    def constant(value: np.generic) -> np.generic:
        return found.setdefault(_name(value), value)

    side: Side = make(constant)
    jax.eval_shape(lambda arrays: side.eager(arrays, layout=sides.evaluation.layout), arrays)
    return list(found.values())


def _name(constant: np.generic) -> Any:
    return constant.dtype, float(constant)


class _Reference:
    """The reference as a function of its constants, in halves of a unit from what they are."""

    def __init__(self, sides: Sides, make: Any, arrays: list[Any], constants: Sequence[np.generic]):
        self._arrays = arrays
        self.size = len(constants)
        numbers = np.array([float(c) for c in constants])
        # Half a unit in the last place of 1, and of a number in [2ᵏ, 2ᵏ⁺¹).
        halves = np.array([float(jnp.finfo(c.dtype).eps) / 2 for c in constants])
        halves *= 2.0 ** (np.frexp(numbers)[1] - 1)
        places = {_name(c): place for place, c in enumerate(constants)}

        def at(t: jax.Array, arrays: list[Any]) -> Any:
            moved = numbers + halves * t
            side: Side = make(lambda value: moved[places[_name(value)]])
            return side.eager(arrays, layout=sides.evaluation.layout)

        self._run = compiled(at)

    def __call__(self, t: np.ndarray) -> Result:
        return Result(*self._run(t, self._arrays))


def _fitted(reference: _Reference, exact: Point, tolerances: dict[Key, float]) -> Fitted | None:
    # What each leaf still differs from manual by, in tolerances.
    def left(result: Result) -> dict[Key, np.ndarray]:
        point = exact._replace(autodiff=result)
        keys = [key for key, tolerance in tolerances.items() if tolerance > 0]
        differences = point.differences(keys)
        return {key: d / tolerances[key] for key, d in zip(keys, differences, strict=True)}

    def some(result: Result) -> np.ndarray:
        rows = [np.ravel(d)[:: d.size // _ENTRIES + 1] for d in left(result).values()]
        flat: Any = np.concatenate(rows)
        return np.concatenate([flat.real, flat.imag])

    t = np.zeros(reference.size)
    result = reference(t)
    moved = [reference(one) for one in np.eye(t.size)]
    slopes = np.stack([some(result) - some(one) for one in moved], axis=1)
    hidden = _worth(exact, result, moved)
    for _ in range(_STEPS):
        # Two constants that do the same are moved alike, and not against each other.
        t = t + np.linalg.lstsq(slopes, some(result), rcond=_ALIKE)[0]
        if not np.all(np.abs(t) <= _WITHIN):
            return None
        result = reference(t)
        if all(largest(d) <= 1 for d in left(result).values()):
            return Fitted(exact._replace(autodiff=result), hidden)
    return None


def _worth(exact: Point, result: Result, moved: list[Result]) -> float:
    """The most that all constants together, each moved by half a unit, change an entry by."""
    own = exact._replace(manual=result)
    keys = [key for key in own.leaves("manual") if key[0] == "grad"]
    by_constant = zip(*(own._replace(autodiff=one).differences(keys) for one in moved), strict=True)
    return max((largest(sum(map(np.abs, leaf))) for leaf in by_constant), default=0.0)


_ALIKE = 1e-5
_WITHIN = 1.001
"""A half, and what the slopes are known to."""
