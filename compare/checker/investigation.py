"""After a disagreement: is it a kink, is it rounding, who is wrong, and which mistake is it?"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.comparison import Rows, largest_difference, mathematics
from compare.checker.evaluation import DRAWS, Key, Point, Result, Sides
from compare.checker.kinks import perturbed, ties
from compare.checker.leaf import Leaf
from compare.checker.noise import two_precisions
from compare.checker.referee import Ruling, rule
from compare.diagnosis.case import Case, Diagnosis, Leaves
from compare.diagnosis.search import diagnose
from compare.trees import cast

__all__ = ["Disagreement", "Outcome", "investigate", "overruled"]


class Disagreement(NamedTuple):
    """Two gradients in float64 that differ by more than rounding explains.

    Attributes:
        sides: how to run both.
        point: where, and what they returned there.
        rows: the leaves compared, by key.
    """

    sides: Sides
    point: Point
    rows: Rows

    @property
    def wrong(self) -> list[str]:
        """The paths of the gradient that do not agree."""
        return [
            path for (kind, path), row in self.rows.items() if kind == "grad" and not row.agrees
        ]

    @property
    def manual_gradient(self) -> Leaves:
        """Manual's gradient by path."""
        return _gradient(self.point.manual)

    @property
    def autodiff_gradient(self) -> Leaves:
        """Autodiff's gradient by path."""
        return _gradient(self.point.autodiff)

    @property
    def leaves(self) -> Leaves:
        """The parameters by path."""
        names = list(self.autodiff_gradient)
        return dict(zip(names, self.point.arrays, strict=False))

    @property
    def constants(self) -> list[Any]:
        """The arrays that are no parameters."""
        return self.point.arrays[len(self.autodiff_gradient) :]

    def loss(self, leaves: list[Any], constants: list[Any]) -> Any:
        """Computes the loss as a function of the parameters' leaves and of all other arrays."""
        loss = self.sides.autodiff.loss
        assert loss is not None
        params, args = self.sides.evaluation.layout.rebuild([*leaves, *constants])
        return loss(params, *args)


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
    """Whether the differences are gone off the kinks, and there is a kink."""
    moved = []
    for seed in (1, 2):
        moved.append(case.sides.at(perturbed(case.point.arrays, seed), on_cpu=True))
        if not _is_gone(case, moved[-1]):
            return None
    tied = ties(lambda *arrays: case.loss(list(arrays), []), case.point.arrays)
    if not tied:
        return None
    for point in moved:
        noise = two_precisions(case.sides, point.arrays).in_float64(DRAWS)
        if not all(one.agrees for one in mathematics(point, noise).values()):
            return None
    row = case.rows[("grad", case.wrong[0])]
    conventions = (
        f"on the kink manual has {row.manual:.9g} and jax.grad {row.reference:.9g} in "
        f"{row.path}{_at(row)}; moved off it, both agree"
    )
    return Outcome("kink", [*map(str, tied), conventions])


def _is_gone(case: Disagreement, point: Point) -> bool:
    """Whether the leaves that differed do so no more, but for a thousandth.

    Of a kink's difference rounding leaves far less.
    """
    keys: list[Key] = [("grad", path) for path in case.wrong]
    return all(
        float(np.max(np.abs(difference))) <= 1e-3 * case.rows[key].max_abs
        for key, difference in zip(keys, point.differences(keys), strict=True)
    )


def _rounding(case: Disagreement) -> Outcome | None:
    """Whether manual's own rounding explains it: its error in float32, and its measured noise.

    From float32 to float64 an error of rounding shrinks by 2⁻²⁹, one of mathematics not at all;
    half of the exponent tells them apart.
    """
    lower = _errors_in_float32(case)
    rows = [case.rows[("grad", path)] for path in case.wrong]
    if not all(row.max_abs <= lower[row.path] * 2.0**-14.5 for row in rows):
        return None
    own = two_precisions(case.sides, case.point.arrays, "manual").in_float64(DRAWS)
    if not all(row.max_abs <= own.factor * own.by_leaf[("grad", row.path)] for row in rows):
        return None
    details = [
        f"{row.path}: manual's error is {lower[row.path]:.1e} in float32 and {row.max_abs:.1e} in "
        f"float64, jax.grad's noise is {row.noise:.1e}: an unstable formula, not a wrong one"
        for row in rows
    ]
    return Outcome("manual_inaccurate", details)


def _errors_in_float32(case: Disagreement) -> dict[str, float]:
    """How far manual in float32 is from the float64 gradient at the same point."""
    low = [cast(x, np.float32) for x in case.point.arrays]
    exact = [cast(x, np.float64) for x in low]
    manual = case.sides.evaluation.run(case.sides.manual, low, on_cpu=True).leaves("")
    right = case.sides.evaluation.run(case.sides.autodiff, exact, on_cpu=True).leaves("")
    return {
        path: largest_difference(manual[("grad", path)], right[("grad", path)])
        for path in case.wrong
    }


def _ruling(case: Disagreement) -> Ruling:
    return rule(
        case.loss,
        case.leaves,
        case.constants,
        case.manual_gradient,
        case.autodiff_gradient,
        case.wrong,
        case.sides.evaluation.seed,
    )


def _diagnosis(case: Disagreement) -> Diagnosis:
    wrong = Case(
        case.loss,
        case.leaves,
        case.constants,
        case.manual_gradient,
        case.autodiff_gradient,
        {path: case.rows[("grad", path)].tolerance for path in case.leaves},
        functools.partial(_run_again, case),
    )
    try:
        return diagnose(wrong)
    except Exception as error:  # Whatever a user's loss holds, the verdict must not be lost.
        reason = f"the search for a name failed: {type(error).__name__}: {error}".splitlines()[0]
        return Diagnosis("unknown", case.wrong[0], "", reason, confirmed=False)


def _run_again(case: Disagreement) -> dict[str, Any]:
    """Manual's gradient by path, computed once more, without being compiled."""
    arrays = [jnp.asarray(x) for x in case.point.arrays]
    _, grads = case.sides.manual.eager(arrays, layout=case.sides.evaluation.layout)
    return dict(zip(case.manual_gradient, jax.tree.leaves(grads), strict=True))


def _at(row: Leaf) -> str:
    return f" at {row.index}" if row.index else ""


def _gradient(result: Result) -> Leaves:
    return {path: leaf for (kind, path), leaf in result.leaves("").items() if kind == "grad"}
