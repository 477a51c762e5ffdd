"""The differences of two results, leaf by leaf, against what rounding explains."""

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from compare.checker.leaf import Leaf
from compare.checker.noise.measure import Noise
from compare.checker.sides.evaluation import DRAWS, Key, Point
from compare.checker.sides.narrowing import Narrowing
from compare.tolerance import is_least_noise, student_factor
from compare.trees import largest, largest_difference

__all__ = [
    "Accuracy", "Compared", "Comparison", "Rows", "accepting", "accuracy_reached", "accuracy_told",
    "allowed", "arithmetic", "disagreeing", "hidden_told", "is_all_wrong", "is_clear", "is_close",
    "is_measured", "is_settled", "mathematics", "nothing_tested", "precision_told", "rows",
    "too_coarse", "unjudged", "unmeasured",
]  # fmt: skip

Rows = dict[Key, Leaf]
Accuracy = Mapping[str, float] | float | None
"""A share of each leaf's largest entry, or one by path; None for rounding alone."""


class Compared(NamedTuple):
    """One leaf of two results, and whether rounding explains how they differ.

    Attributes:
        manual: of manual.
        reference: what it is held against.
        dtype: that they were computed in.
        noise: of this leaf, no less than a unit in the last place of its largest entry.
        tolerance: how large a difference rounding explains.
        max_abs: the largest difference of any entry.
        closest: that, or the one from what jax.grad returns in the same dtype if it is smaller.
        agrees: whether rounding explains it.
    """

    manual: np.ndarray
    reference: np.ndarray
    dtype: Any
    noise: float
    tolerance: float
    max_abs: float
    closest: float
    agrees: bool

    @property
    def is_settled(self) -> bool:
        """Whether it agrees by a tolerance that could be measured."""
        return self.agrees and math.isfinite(self.tolerance)

    @property
    def is_clear(self) -> bool:
        """Whether it agrees so well that further draws would not change it."""
        return self.is_settled and self.closest <= student_factor(DRAWS) * self.noise

    @property
    def size(self) -> float:
        """The largest entry of the reference."""
        return largest(self.reference)

    @property
    def share(self) -> float:
        """The tolerance as a share of the largest entry."""
        return self.tolerance / self.size if self.size else 0.0

    @property
    def error_share(self) -> float:
        """The error as a share of the largest entry."""
        return self.max_abs / self.size if self.size else 0.0


Comparison = dict[Key, Compared]


def mathematics(
    exact: Point, noise: Noise, *, dtype: Any = np.float64, accuracy: Accuracy = None
) -> Comparison:
    """Compares both sides in float64, by the measured noise of each leaf: question 1.

    Args:
        exact: what they return at a point in float64.
        noise: of each leaf.
        dtype: that manual computes in, where that is narrower than float64.
        accuracy: how much of its largest entry a leaf may be off by, whatever the noise.
    """
    m, a = exact.leaves("manual"), exact.leaves("autodiff")
    found = {}
    for key in a:
        floor = _floor(noise.by_leaf[key], a[key], dtype if noise.floor else np.float64)
        tolerance = max(noise.factor * floor, allowed(accuracy, key[1], a[key]))
        error = largest_difference(m[key], a[key])
        found[key] = Compared(
            m[key], a[key], np.dtype(dtype), floor, tolerance, error, error, error <= tolerance
        )
    return found


def allowed(accuracy: Accuracy, path: str, leaf: np.ndarray) -> float:
    """Returns the error that a stated accuracy allows a leaf: a share of its largest entry."""
    share = accuracy.get(path, 0.0) if isinstance(accuracy, Mapping) else accuracy or 0.0
    return share * largest(leaf) if share else 0.0


def arithmetic(own: Point, exact: Point, noise: Noise, *, accuracy: Accuracy = None) -> Comparison:
    """Compares each side, in the dtype asked for, with the float64 gradient: question 2.

    Manual's error may be twice autodiff's plus a floor, the noise of that dtype. Autodiff's error
    counts only up to the floor: where it is larger, the baseline is itself off, and manual passes
    by doing the same as autodiff or by being right. Noise that is not finite says nothing (a
    saturated tanh, moved off 1, in bfloat16): then the floor is that of the unit roundoff, and
    autodiff's error counts in full.
    """
    m, a, r = own.leaves("manual"), own.leaves("autodiff"), exact.leaves("autodiff")
    found = {}
    for key in r:
        telling = np.isfinite(noise.by_leaf[key])
        measured = _floor(noise.by_leaf[key] if telling else 0.0, r[key], a[key].dtype)
        floor = noise.factor * measured
        own_error, error = largest_difference(a[key], r[key]), largest_difference(m[key], r[key])
        beside = largest_difference(m[key], a[key])
        tolerance = 2 * (min(own_error, floor) if telling else own_error) + floor
        tolerance = max(tolerance, allowed(accuracy, key[1], r[key]))
        agrees = error <= tolerance or beside <= floor
        found[key] = Compared(
            m[key], r[key], a[key].dtype, measured, tolerance, error, min(error, beside), agrees
        )
    return found


def is_measured(found: Comparison) -> bool:
    """Tells whether the noise of every leaf could be measured."""
    return all(math.isfinite(one.tolerance) for one in found.values())


def is_settled(found: Comparison) -> bool:
    """Tells whether every leaf agrees by a tolerance that could be measured."""
    return all(one.is_settled for one in found.values())


def is_clear(found: Comparison) -> bool:
    """Tells whether every leaf agrees so well that further draws would not change it."""
    return all(one.is_clear for one in found.values())


_FAR = 1000.0


def is_all_wrong(found: Comparison) -> bool:
    """Tells whether the value agrees as well as it could, and no leaf of the gradient by far.

    Then a thousandth of the tolerance would say the same, and further draws are not needed.
    """
    return all(
        one.is_clear if kind == "value" else _FAR * one.tolerance < one.max_abs < math.inf
        for (kind, _), one in found.items()
    )


_CLOSE = 1.5


def is_close(found: Comparison) -> bool:
    """Tells whether no leaf is off by more than 1.5 tolerances, where a sharper look pays."""
    return all(one.max_abs <= _CLOSE * one.tolerance for one in found.values())


def nothing_tested(found: Comparison) -> str:
    """Says so where every entry is 0 on both sides; else ""."""
    if any(one.manual.any() or one.reference.any() for one in found.values()):
        return ""
    return "nothing was tested: every entry of both gradients is 0; give another point"


def unmeasured(found: Comparison) -> str:
    """Says so where the noise of a leaf could not be measured; else ""."""
    if is_measured(found):
        return ""
    return (
        "jax.grad's rounding noise in float64 cannot be measured: moved by a unit in the last "
        "place, its own computation is not finite; scale the inputs down"
    )


def too_coarse(found: Comparison) -> str:
    """Says so where rounding explains as much as the leaf itself; else "".

    A leaf may be 0 to rounding all the same, as a bias is in front of batch-norm: then rounding
    explains far less than the size of the loss, and of the other leaves.
    """
    largest = max(one.size for one in found.values())
    for (kind, path), one in found.items():
        if kind == "value":
            continue
        is_small = one.tolerance <= math.sqrt(float(jnp.finfo(one.dtype).eps)) * largest
        if one.size and not is_small and one.tolerance > _COARSE * one.size:
            return (
                f"{path}: its largest entry is {one.size:.1e} and rounding explains "
                f"{one.tolerance:.1e}: an agreement would say nothing"
            )
    return ""


_COARSE = 0.5


def rows(found: Comparison) -> Rows:
    """Computes all that a report says of the leaves."""
    return {
        key: Leaf.compare(
            key[1], one.manual, one.reference, dtype=one.dtype, noise=one.noise,
            tolerance=one.tolerance, agrees=one.agrees,
        )
        for key, one in found.items()
    }  # fmt: skip


def unjudged(point: Point, keys: Collection[Key] | None = None) -> Rows:
    """Sets manual beside autodiff where no tolerance applies: none of these leaves agrees."""
    m, a = point.leaves("manual"), point.leaves("autodiff")
    return {
        key: Leaf.compare(key[1], m.get(key), a.get(key), dtype=leaf.dtype, agrees=False)
        for key, leaf in {**a, **m}.items()
        if keys is None or key in keys
    }


def disagreeing(
    rows: Rows, *, manual: str = "manual has", reference: str = "jax.grad has"
) -> list[str]:
    """Tells in a sentence each how the leaves that do not agree differ from the reference.

    Args:
        rows: the leaves.
        manual: the words in front of manual's number.
        reference: the words in front of the other.
    """
    return [_difference(row, manual, reference) for row in rows.values() if not row.agrees]


def precision_told(found: Comparison, narrow: Narrowing | None) -> list[str]:
    """Tells what could be checked of a side that computes in a narrower type."""
    if narrow is None:
        return []
    share = max(one.share for one in found.values())
    unit = float(np.finfo(np.float64).eps)
    finer = share * unit / narrow.unit
    # Where the narrower type is no part of the gradient, it is checked as finely as it can be.
    but = f", not to {finer:.0e}" if finer >= unit / 8 else ""
    return [f"manual {narrow}: checked to {share:.0e} of a leaf's largest entry{but}"]


def hidden_told(found: Comparison, dtype: str) -> list[str]:
    """Says so where rounding in the dtype asked for hides all that is wrong in float64.

    A small constant that keeps a divisor from 0 does that to a gradient.

    Args:
        found: in float64.
        dtype: asked for.
    """
    wrong = [one for (kind, _), one in found.items() if kind == "grad" and not one.agrees]
    if dtype == "mixed" or not wrong or any(one.dtype != np.float64 for one in wrong):
        return []
    coarser = float(jnp.finfo(dtype).eps / jnp.finfo(np.float64).eps)
    share = max(one.error_share for one in wrong)
    if not 0 < share < 1 or any(one.max_abs > coarser * one.tolerance for one in wrong):
        return []
    return [
        f"rounding in {dtype} hides it: it is {share:.1e} of a leaf's largest entry; if it is "
        f"meant, {accepting(share)}"
    ]


def accepting(share: float) -> str:
    """Tells the accuracy, a power of ten, that accepts an error of this share of its leaf."""
    return f"accuracy={10.0 ** math.ceil(math.log10(share)):g} accepts it"


def accuracy_told(found: Comparison, accuracy: Accuracy) -> list[str]:
    """Tells what accuracy was asked for, and what was found."""
    return accuracy_reached(max(one.error_share for one in found.values()), accuracy)


def accuracy_reached(share: float, accuracy: Accuracy) -> list[str]:
    """Tells what accuracy was asked for, and that the largest error is this share of its leaf."""
    if accuracy is None:
        return []
    if isinstance(accuracy, Mapping):
        asked = ", ".join(f"{share:g} in {path}" for path, share in accuracy.items())
    else:
        asked = f"{accuracy:g}"
    return [f"accuracy asked for: {asked} of a leaf's largest entry; found: {share:.1e}"]


def _floor(noise: Any, reference: np.ndarray, dtype: Any) -> float:
    """The measured noise, and no less than one unit in the last place of the largest entry."""
    info = jnp.finfo(dtype)
    return max(float(noise), float(info.eps) * largest(reference), float(info.tiny))


def _difference(row: Leaf, manual: str, reference: str) -> str:
    where = f" at {row.index}" if row.index else ""
    has = f"{manual} {row.manual:.9g} where {reference} {row.reference:.9g}{where}"
    explained = "nothing" if is_least_noise(row.noise) else f"{row.tolerance:.1e}"
    return f"{row.path}: {has}; they differ by {row.max_abs:.1e}, and rounding explains {explained}"
