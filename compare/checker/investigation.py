"""After a disagreement: is it a kink, is it rounding, who is wrong, and which mistake is it?"""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from compare.checker.evaluation import Arrays, Evaluation, Key, Result, Side
from compare.checker.gradient_report import Diagnosis, Leaf
from compare.checker.kinks import nudged, ties
from compare.checker.referee import Ruling, rule
from compare.diagnosis.search import Case, diagnose
from compare.trees import cast

__all__ = ["Disagreement", "Outcome", "investigate", "overruled"]


class Disagreement(NamedTuple):
    """Two gradients in float64 that differ by more than rounding explains.

    Attributes:
        manual: the side under test.
        autodiff: the side that differentiates.
        evaluation: how to run them.
        arrays: the point, in float64.
        results: what manual and autodiff returned there.
        rows: the leaves compared, by key.
        compare: `compare(manual, autodiff, noise) -> rows by key`, for another point.
        factor: tolerance over noise.
    """

    manual: Side
    autodiff: Side
    evaluation: Evaluation
    arrays: Arrays
    results: tuple[Result, Result]
    rows: dict[Key, Leaf]
    compare: Callable[[Result, Result, Result], dict[Key, Leaf]]
    factor: float

    @property
    def wrong(self) -> list[str]:
        """The paths of the gradient that do not agree."""
        return [
            path for (kind, path), row in self.rows.items() if kind == "grad" and not row.agrees
        ]

    def leaves(self, side: int) -> dict[str, np.ndarray]:
        """One side's gradient by path: 0 manual, 1 autodiff."""
        return {p: g for (kind, p), g in self.results[side].leaves("").items() if kind == "grad"}

    def loss(self, leaves: list[Any], constants: list[Any]) -> Any:
        """The loss as a function of the parameters' leaves and of all other arrays."""
        assert self.autodiff.loss is not None
        params, args = self.evaluation.layout.rebuild([*leaves, *constants])
        return self.autodiff.loss(params, *args)

    def split(self) -> tuple[list[Any], list[Any]]:
        """The arrays of the parameters, and the others."""
        count = len(self.leaves(1))
        return self.arrays[:count], self.arrays[count:]


class Outcome(NamedTuple):
    """What came out: the verdict, sentences about it, and the bug if one was looked for."""

    verdict: str
    details: list[str]
    diagnosis: Diagnosis | None = None


def investigate(case: Disagreement) -> Outcome:
    """Kink, rounding, referee, bug: in this order, in float64 on CPU.

    The referee decides who is wrong; it is never used to excuse a difference.
    """
    if not case.wrong:
        return Outcome("manual_wrong", [])
    outcome = _kink(case) or _rounding(case)
    if outcome is not None:
        return outcome
    ruling = _ruling(case)
    if ruling.verdict == "autodiff_wrong":
        return Outcome("autodiff_wrong", [str(ruling)])
    if ruling.verdict == "inconclusive":
        tried = "too small a difference to decide who is wrong"
        return Outcome("inconclusive", [f"{ruling}: {tried}"])
    also = ["jax.grad is wrong as well: " + str(ruling)] if ruling.verdict == "both" else []
    return Outcome("manual_wrong", also or [str(ruling)], _diagnosis(case))


def overruled(case: Disagreement) -> Outcome | None:
    """Whether the referee sides with manual, which is finite, against jax.grad, which is not.

    The trap is a `where` whose other branch has an infinite derivative: 0 · ∞ is NaN.
    """
    ruling = _ruling(case)
    if ruling.verdict != "autodiff_wrong":
        return None
    return Outcome("autodiff_wrong", [f"{ruling}; a 0 · ∞ in a branch not taken gives NaN"])


def _kink(case: Disagreement) -> Outcome | None:
    tied = ties(lambda *arrays: case.loss(list(arrays), []), case.arrays)
    if not tied:
        return None
    for seed in (1, 2):
        arrays = nudged(case.arrays, seed)
        results = [case.evaluation.run(side, arrays) for side in (case.manual, case.autodiff)]
        noise = case.evaluation.noise(case.autodiff, arrays, results[1], freeze_decisions=True)
        rows = case.compare(results[0], results[1], noise)
        if not all(row.agrees for row in rows.values()):
            return None
    row = case.rows[("grad", case.wrong[0])]
    conventions = (
        f"on the kink manual has {row.manual:.9g} and jax.grad {row.reference:.9g} in "
        f"{row.path}{_at(row)}; moved off it, both agree"
    )
    return Outcome("kink", [*map(str, tied), conventions])


def _rounding(case: Disagreement) -> Outcome | None:
    """Whether manual's own rounding explains it: its error in float32, and its measured noise.

    From float32 to float64 an error of rounding shrinks by 2⁻²⁹, one of mathematics not at all;
    half of the exponent tells them apart.
    """
    lower = _errors_in_float32(case)
    rows = [case.rows[("grad", path)] for path in case.wrong]
    if not all(row.max_abs <= lower[row.path] * 2.0**-14.5 for row in rows):
        return None
    with contextlib.suppress(ValueError):  # A candidate that cannot be traced, in NumPy say.
        noise = case.evaluation.noise(
            case.manual, case.arrays, case.results[0], freeze_decisions=True
        ).leaves("")
        if not all(row.max_abs <= case.factor * noise[("grad", row.path)] for row in rows):
            return None
    details = [
        f"{row.path}: manual's error is {lower[row.path]:.1e} in float32 and {row.max_abs:.1e} in "
        f"float64, jax.grad's noise is {row.noise:.1e}: an unstable formula, not a wrong one"
        for row in rows
    ]
    return Outcome("manual_inaccurate", details)


def _errors_in_float32(case: Disagreement) -> dict[str, float]:
    """How far manual in float32 is from the float64 gradient at the same point."""
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        low = [cast(x, np.float32) for x in case.arrays]
        manual = case.evaluation.run(case.manual, low).leaves("")
        right = case.evaluation.run(case.autodiff, [cast(x, np.float64) for x in low]).leaves("")
    return {
        path: float(np.max(np.abs(manual[("grad", path)].astype(float) - right[("grad", path)])))
        for path in case.wrong
    }


def _ruling(case: Disagreement) -> Ruling:
    leaves, constants = case.split()
    names = list(case.leaves(1))
    return rule(
        case.loss,
        dict(zip(names, leaves, strict=True)),
        constants,
        case.leaves(0),
        case.leaves(1),
        case.wrong,
        case.evaluation.seed,
    )


def _diagnosis(case: Disagreement) -> Diagnosis:
    leaves, constants = case.split()
    names = list(case.leaves(1))
    wrong = Case(
        case.loss,
        dict(zip(names, leaves, strict=True)),
        constants,
        case.leaves(0),
        case.leaves(1),
        {path: case.rows[("grad", path)].tolerance for path in names},
    )
    try:
        return diagnose(wrong)
    except Exception as error:  # Whatever a user's loss holds, the verdict must not be lost.
        reason = f"the search for a name failed: {type(error).__name__}: {error}".splitlines()[0]
        return Diagnosis("unknown", case.wrong[0], "", reason, confirmed=False)


def _at(row: Leaf) -> str:
    return f" at {row.index}" if row.index else ""
