"""The differences of two results, leaf by leaf, against what rounding explains."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from compare.checker.evaluation import DRAWS, Key, Result
from compare.checker.leaf import Leaf
from compare.tolerance import student_factor

__all__ = [
    "NOISE_FACTOR", "Rows", "arithmetic", "disagreeing", "largest_difference", "mathematics",
    "unjudged",
]  # fmt: skip

NOISE_FACTOR = student_factor(DRAWS)
"""Tolerance over noise."""

Rows = dict[Key, Leaf]


def mathematics(manual: Result, autodiff: Result, noise: Result, value_name: str) -> Rows:
    """Compares two results in float64 with the measured noise of each leaf: question 1."""
    m, a, spread = (side.leaves(value_name) for side in (manual, autodiff, noise))
    rows = {}
    for key in m:
        floor = _floor(spread[key], a[key], np.float64)
        rows[key] = Leaf.compare(
            key[1], m[key], a[key], dtype="float64", noise=floor, tolerance=NOISE_FACTOR * floor
        )
    return rows


def arithmetic(
    manual: Result, autodiff: Result, reference: Result, noise: Result, value_name: str
) -> Rows:
    """Compares each side, in the dtype asked for, with the float64 gradient: question 2.

    Manual's error may be twice autodiff's plus a floor, the noise of that dtype. Autodiff's error
    counts only up to the floor: where it is larger, the baseline is itself off, and manual passes
    by doing the same as autodiff or by being right. Noise that is not finite says nothing (a
    saturated tanh, moved off 1, in bfloat16): then the floor is that of the unit roundoff, and
    autodiff's error counts in full.
    """
    sides = (manual, autodiff, reference, noise)
    m, a, r, spread = (side.leaves(value_name) for side in sides)
    rows = {}
    for key in m:
        telling = np.isfinite(spread[key])
        measured = _floor(spread[key] if telling else 0.0, r[key], a[key].dtype)
        floor = NOISE_FACTOR * measured
        own_error = largest_difference(a[key], r[key])
        tolerance = 2 * (min(own_error, floor) if telling else own_error) + floor
        agrees = (
            largest_difference(m[key], r[key]) <= tolerance
            or largest_difference(m[key], a[key]) <= floor
        )
        rows[key] = Leaf.compare(
            key[1], m[key], r[key], dtype=a[key].dtype, noise=measured, tolerance=tolerance,
            agrees=agrees,
        )  # fmt: skip
    return rows


def unjudged(manual: Result, autodiff: Result, value_name: str) -> Rows:
    """Sets manual beside autodiff where no tolerance applies: no leaf agrees."""
    m, a = manual.leaves(value_name), autodiff.leaves(value_name)
    return {
        key: Leaf.compare(key[1], m.get(key), a.get(key), dtype=leaf.dtype, agrees=False)
        for key, leaf in {**m, **a}.items()
    }


def disagreeing(rows: Rows) -> list[str]:
    """Tells in a sentence each how the leaves that do not agree differ."""
    return [_difference(row) for row in rows.values() if not row.agrees]


def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the largest difference of any entry, in float64."""
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0))


def _floor(noise: Any, reference: np.ndarray, dtype: Any) -> float:
    """The measured noise, and no less than one unit in the last place of the largest entry."""
    info = jnp.finfo(dtype)
    largest = float(np.max(np.abs(reference.astype(np.float64)), initial=0))
    return max(float(noise), float(info.eps) * largest, float(info.tiny))


def _difference(row: Leaf) -> str:
    where = f" at {row.index}" if row.index else ""
    return (
        f"{row.path}: manual has {row.manual:.9g} where jax.grad has {row.reference:.9g}{where}; "
        f"they differ by {row.max_abs:.1e}, and rounding explains {row.tolerance:.1e}"
    )
