"""One leaf of a gradient, compared: how far manual is from the reference, in several measures."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from compare.trees import in_double, largest, of_blocks

__all__ = ["Leaf", "Loss"]


class Loss(NamedTuple):
    """The value of the loss on each side; `reference` is autodiff's in float64 on CPU."""

    manual: float
    autodiff: float
    reference: float


@dataclass(frozen=True)
class Leaf:
    """One leaf of the gradient: how far manual is from the reference, and how far it may be.

    Attributes:
        path: where the leaf is in the parameters, such as `0/w`.
        shape: its shape.
        dtype: the dtype that these numbers were computed in. A disagreement of the mathematics is
            shown in float64, where it was found, whatever the dtype asked for.
        max_abs: the largest |manual − reference| of any entry.
        max_rel: the largest |manual − reference| / |reference|, over entries with reference ≠ 0.
        max_ulp: the largest |manual − reference| in units in the last place of the reference, over
            the same entries.
        ratio: `max_abs / noise`; a right gradient is at about 1 or below. Infinite where there is
            an error and no noise.
        cosine: the cosine between the two leaves as vectors; 1 where both are zero.
        noise: the measured rounding noise of this leaf.
        tolerance: the largest `max_abs` that rounding explains.
        agrees: whether `max_abs <= tolerance`, both sides being finite and of one shape.
        index: the entry with the largest error; None where shapes differ.
        manual: manual's number there; a complex one where the leaf is complex.
        reference: the reference's number there.
        error_map: of a matrix that disagrees, where the error is: the largest of each block of
            entries, 64 by 64 blocks at most; else None.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    max_abs: float
    max_rel: float
    max_ulp: float
    ratio: float
    cosine: float
    noise: float
    tolerance: float
    agrees: bool
    index: tuple[int, ...] | None
    manual: float | complex
    reference: float | complex
    error_map: tuple[tuple[float, ...], ...] | None = field(default=None, repr=False)

    @classmethod
    def compare(
        cls,
        path: str,
        manual: np.ndarray | None,
        reference: np.ndarray | None,
        *,
        dtype: Any,
        noise: float = math.nan,
        tolerance: float = math.nan,
        agrees: bool | None = None,
    ) -> "Leaf":
        """Computes the numbers of one leaf; NaN throughout where a side is missing or misshapen.

        `agrees` overrides the comparison of `max_abs` with `tolerance`.
        """
        known = reference if manual is None else manual
        shape = () if known is None else known.shape
        if manual is None or reference is None or manual.shape != reference.shape:
            nan = math.nan
            numbers = dict.fromkeys(("max_abs", "max_rel", "max_ulp", "ratio", "cosine"), nan)
            where = {"index": None, "manual": nan, "reference": nan}
            return cls(path, shape, str(dtype), **numbers, noise=noise, tolerance=tolerance,
                       agrees=False, **where)  # fmt: skip
        found = _measure(manual.ravel(), reference.ravel(), dtype)
        worst = None if found.worst is None else np.unravel_index(found.worst, shape)
        agrees = found.max_abs <= tolerance if agrees is None else agrees
        return cls(
            path,
            shape,
            str(dtype),
            max_abs=found.max_abs,
            max_rel=found.max_rel,
            max_ulp=found.max_ulp,
            # The least that a noise is said to be is a noise of 0.
            ratio=_ratio(found.max_abs, noise if noise != float(jnp.finfo(dtype).tiny) else 0.0),
            cosine=_cosine(manual.ravel(), reference.ravel()),
            noise=noise,
            tolerance=tolerance,
            agrees=agrees,
            index=None if worst is None else tuple(int(i) for i in worst),
            manual=math.nan if worst is None else in_double(manual[worst]).item(),
            reference=math.nan if worst is None else in_double(reference[worst]).item(),
            error_map=None if agrees else _error_map(manual, reference),
        )

    @property
    def excess(self) -> float:
        """The error in units of the tolerance; infinite where the error is not a number."""
        if math.isnan(self.max_abs):
            return math.inf
        return _ratio(self.max_abs, self.tolerance)


class _Measures(NamedTuple):
    """The largest errors of some entries; `worst` is the place of the first."""

    max_abs: float
    max_rel: float
    max_ulp: float
    worst: int | None


def _measure(manual: np.ndarray, reference: np.ndarray, dtype: Any) -> _Measures:
    """The largest errors, and the place of the largest."""

    def of(own: slice) -> _Measures:
        found = _measure_block(manual[own], reference[own], dtype)
        return found._replace(worst=own.start + found.worst)

    blocks = of_blocks(of, manual.size)
    if not blocks:
        return _Measures(0.0, 0.0, 0.0, None)
    absolute, relative, ulp, places = zip(*blocks, strict=True)
    first = int(np.argmax(absolute))  # A NaN before all.
    return _Measures(absolute[first], float(np.max(relative)), float(np.max(ulp)), places[first])


def _measure_block(manual: np.ndarray, reference: np.ndarray, dtype: Any) -> _Measures:
    error, size = _error(manual, reference), np.abs(in_double(reference))
    counted, worst = size != 0, int(np.argmax(error))
    with np.errstate(invalid="ignore"):  # Inf / Inf is NaN, which is what is reported.
        relative, ulp = (
            float(np.max(np.divide(error, unit, out=np.zeros_like(error), where=counted)))
            for unit in (size, _spacing(size, dtype))
        )
    return _Measures(float(error[worst]), relative, ulp, worst)


def _error(manual: np.ndarray, reference: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # Inf − Inf is NaN, which is what is reported.
        return np.abs(in_double(manual) - in_double(reference))


def _ratio(error: float, unit: float) -> float:
    """The quotient; 0 where there is no error, infinite where the unit is 0."""
    if error == 0:
        return 0.0
    return error / unit if unit else math.inf


def _error_map(manual: np.ndarray, reference: np.ndarray) -> tuple[tuple[float, ...], ...] | None:
    """The largest error of each block of a matrix; None where there is no matrix, or no error."""
    if manual.ndim != 2 or not manual.size:
        return None
    height, width = (-(-length // _MAP_BLOCKS) for length in manual.shape)

    def of(rows: slice) -> np.ndarray:
        error = _error(manual[rows], reference[rows]).max(axis=0)
        return np.maximum.reduceat(error, np.arange(0, len(error), width))

    found = of_blocks(of, len(manual), height)
    if not np.any(found):
        return None
    return tuple(tuple(float(f"{entry:.3g}") for entry in row) for row in found)


_MAP_BLOCKS = 64


def _spacing(x: np.ndarray, dtype: Any) -> np.ndarray:
    """The distance between neighbouring numbers of `dtype` at the size of `x`."""
    info = jnp.finfo(dtype)
    _, exponent = np.frexp(x)
    return np.maximum(np.ldexp(float(info.eps), exponent - 1), float(info.tiny) * float(info.eps))


_SQUARED = 1e-100
"""Entries from here to its inverse have squares, and sums of squares, in float64."""


def _cosine(a: Any, b: Any) -> float:
    """The cosine; 1 where both are zero, 0 where one is, NaN where one is not finite."""
    scale_a, scale_b = largest(a), largest(b)
    if not (np.isfinite(scale_a) and np.isfinite(scale_b)):
        return math.nan
    if scale_a == 0 or scale_b == 0:
        return 1.0 if scale_a == scale_b else 0.0
    if not all(_SQUARED < scale < 1 / _SQUARED for scale in (scale_a, scale_b)):
        # The squares of very small or large entries would not be finite.
        a, b = in_double(a) / scale_a, in_double(b) / scale_b

    def products(own: slice) -> list[float]:
        x, y = in_double(a[own]), in_double(b[own])
        return [np.vdot(p, q).real for p, q in ((x, y), (x, x), (y, y))]

    both, of_a, of_b = np.sum(of_blocks(products, a.size), axis=0)
    return float(both / math.sqrt(of_a) / math.sqrt(of_b))
