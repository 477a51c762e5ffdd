"""Whether a difference that the noise does not explain is a mistake, or rounding not yet seen.

Both sides are asked again, with programs that are compiled already. A mistake is a smooth function
of the point and the same in both precisions. Rounding is neither; but where float32 loses a number
altogether, as 1 − tanh² x in saturation, float32 says nothing about it.
"""

import math

import numpy as np

from compare.checker.comparison import Comparison
from compare.checker.kinks import perturbed
from compare.checker.noise.measure import two_precisions
from compare.checker.sides.evaluation import DRAWS, Key, Point, Sides
from compare.checker.sides.float64 import is_float32_on_cpu
from compare.tolerance import student_factor
from compare.trees import cast, in_double, largest, of_blocks

__all__ = ["is_in_dtype", "is_in_float32", "is_mathematics"]

_LOST = 0.5
"""A number of which float32 is so far off, relatively, is lost in float32."""


def is_mathematics(sides: Sides, own: Point, exact: Point, found: Comparison) -> bool:
    """Tells whether no rounding can explain the leaves that do not agree in float64.

    That is proved by a difference that is the same in float32; or by one that manual's own noise
    does not explain, in numbers that float32 holds, and that stays when the point moves a little.

    Args:
        sides: how to run both.
        own: what they return in the dtype asked for.
        exact: the same in float64.
        found: the comparison in float64.
    """
    wrong = [key for key, one in found.items() if not one.agrees]
    narrow, wide = _narrow_and_wide(sides, own, exact)
    if _is_the_same(narrow, wide, wrong):
        return True
    entries = [int(np.argmax(np.abs(difference))) for difference in exact.differences(wrong)]
    return (
        not _is_lost(narrow, wide, wrong, entries)
        and not _is_manuals_noise(sides, own, found, wrong)
        and _is_steady(sides, exact, wrong, entries)
    )


def is_in_float32(sides: Sides, own: Point, exact: Point, found: Comparison) -> bool:
    """Tells whether some leaf does not agree, and all such differ by the same in float32.

    It needs no noise, and so can be asked before all of it is measured.
    """
    wrong = [key for key, one in found.items() if not one.agrees]
    return bool(wrong) and _is_the_same(*_narrow_and_wide(sides, own, exact), wrong)


def is_in_dtype(own: Point, exact: Point, found: Comparison) -> bool:
    """Tells whether all leaves that do not agree differ by the same in the dtype asked for.

    Args:
        own: what both return in that dtype.
        exact: the same in float64.
        found: the comparison in float64.
    """
    return _is_the_same(own, exact, [key for key, one in found.items() if not one.agrees])


def _narrow_and_wide(sides: Sides, own: Point, exact: Point) -> tuple[Point, Point]:
    """The point in float32 and in float64, rounded to what float32 can hold."""
    if is_float32_on_cpu(own.arrays):
        return own, exact
    narrow = [cast(x, np.float32) for x in own.arrays]
    wide = [cast(x, np.float64) for x in narrow]
    return sides.at(narrow, on_cpu=True), sides.at(wide, on_cpu=True)


def _is_the_same(narrow: Point, wide: Point, keys: list[Key]) -> bool:
    """A difference that rounding makes shrinks by 2⁻²⁹ from float32 to float64."""
    found = [[point.leaves(side) for side in ("manual", "autodiff")] for point in (narrow, wide)]

    def is_the_same(key: Key) -> bool:
        leaves = [[leaf[key].ravel() for leaf in own] for own in found]

        def of(block: slice) -> tuple[float, float]:
            low, high = (in_double(m[block]) - in_double(a[block]) for m, a in leaves)
            return largest(low - high), largest(high)

        with np.errstate(invalid="ignore"):  # Inf − Inf is NaN, which shows nothing.
            blocks = of_blocks(of, leaves[0][0].size)
        apart, size = np.max(blocks, axis=0, initial=0)
        return bool(apart <= 0.5 * size)

    return all(map(is_the_same, keys))


def _is_lost(narrow: Point, wide: Point, keys: list[Key], entries: list[int]) -> bool:
    """Whether float32 has lost one of these entries, on either side."""
    pairs = [(narrow.leaves(side), wide.leaves(side)) for side in ("manual", "autodiff")]
    return any(
        not abs(low[key].flat[entry] - high[key].flat[entry]) < _LOST * abs(high[key].flat[entry])
        for low, high in pairs
        for key, entry in zip(keys, entries, strict=True)
    )


def _is_manuals_noise(sides: Sides, own: Point, found: Comparison, keys: list[Key]) -> bool:
    """Whether manual's own rounding explains one of the differences."""
    measured = two_precisions(sides, own.arrays, "manual").in_float64(DRAWS)
    return any(found[key].max_abs <= measured.factor * measured.by_leaf[key] for key in keys)


def _is_steady(sides: Sides, exact: Point, keys: list[Key], entries: list[int]) -> bool:
    """Whether the differences stay as they are when the point moves a little.

    Rounding falls anew at every point: Student's test of whether their mean is 0.
    """
    moved = []
    for seed in range(DRAWS):
        point = sides.at(perturbed(exact.arrays, seed), on_cpu=True)
        moved.append(_at_entries(point.differences(keys), entries))
    here = _at_entries(exact.differences(keys), entries)
    mean = np.abs(np.mean(moved, axis=0))
    limit = student_factor(DRAWS - 1) * np.std(moved, axis=0, ddof=1) / math.sqrt(DRAWS)
    return bool(np.all((mean > limit) & (mean >= 0.5 * np.abs(here))))


def _at_entries(leaves: list[np.ndarray], entries: list[int]) -> np.ndarray:
    return np.array([leaf.flat[entry] for leaf, entry in zip(leaves, entries, strict=True)])
