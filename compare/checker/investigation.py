"""After a disagreement: is it a kink, is it rounding, who is wrong, and which mistake is it?"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from compare.checker import comparison
from compare.checker.disagreement.again import leaves_by_path, manual_again, to_be_run_again
from compare.checker.disagreement.case import Disagreement
from compare.checker.kinks import has_kinks, perturbed, ties
from compare.checker.leaf import Leaf
from compare.checker.noise.measure import of_manual, two_precisions
from compare.checker.numerical.derivative import Loss
from compare.checker.numerical.differences import eager_differences
from compare.checker.referee import (
    COMPLEX_STEP,
    RANDOM_DIRECTIONS,
    REFUTED,
    Ruling,
    along,
    random_direction,
    rule,
)
from compare.checker.reporting.verdicts import Verdict
from compare.checker.sides.evaluation import DRAWS, Key, Point
from compare.checker.sides.float64 import is_float32_on_cpu
from compare.checker.sides.opened import held, opened
from compare.checker.sides.side import Side
from compare.diagnosis.case import Case, Diagnosis
from compare.diagnosis.search import diagnose
from compare.diagnosis.watching.parting import parting
from compare.escapes import first_line
from compare.sites import shown
from compare.trees import cast, largest_difference

__all__ = [
    "Outcome",
    "forward_passes",
    "investigate",
    "is_of_own_loss",
    "overruled",
]


class Outcome(NamedTuple):
    """What came out: the verdict, sentences about it, and the bug if one was looked for."""

    verdict: Verdict
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
    ruling, sites = _ruling(case)
    if ruling.verdict in _BLAMING and ruling.method != COMPLEX_STEP:
        ruling = _off_the_kinks(case) or ruling
    if ruling.verdict == "autodiff_wrong":
        return Outcome("autodiff_wrong", [str(ruling)])
    if ruling.verdict == "inconclusive":
        tried = "too small a difference to decide who is wrong"
        return Outcome("inconclusive", [f"{ruling}: {tried}"])
    also = ["jax.grad is wrong as well: " + str(ruling)] if ruling.verdict == "both" else []
    told = [*_moving_what_is_held(case, sites), *(also or [str(ruling)])]
    return Outcome("manual_wrong", told, _diagnosis(case))


_BLAMING = ("autodiff_wrong", "both")


def _off_the_kinks(case: Disagreement) -> Ruling | None:
    """The referee's word at a point nearby where jax.grad is right and some leaf still differs.

    Where a kink is within the referee's steps it finds the mean of two slopes, and jax.grad one of
    them. What is wrong is so at the points around as well.
    """
    for seed in (1, 2):
        point = case.sides.at(perturbed(case.point.arrays, seed), on_cpu=True)
        rows = comparison.rows(case.compared_at(point))
        moved = case._replace(point=point, rows=rows, own=None)
        if moved.wrong:
            ruling, _ = _ruling(moved)
            if ruling.verdict not in _BLAMING:
                return ruling._replace(method=f"{ruling.method} off a kink")
    return None


def overruled(case: Disagreement) -> Outcome | None:
    """Whether the referee sides with manual, which is finite, against jax.grad, which is not.

    The trap is a `where` whose other branch has an infinite derivative: 0 · ∞ is NaN.
    """
    ruling, _ = _ruling(case)
    if ruling.verdict != "autodiff_wrong":
        return None
    return Outcome("autodiff_wrong", [f"{ruling}; a 0 · ∞ in a branch not taken gives NaN"])


def _kink(case: Disagreement) -> Outcome | None:
    """Whether the differences are gone off the kinks, and there is a kink."""
    if not has_kinks(case.loss, [*case.leaves.values()], case.constants):
        return None
    moved = []
    for seed in (1, 2):
        moved.append(case.sides.at(perturbed(case.point.arrays, seed), on_cpu=True))
        if not _is_gone(case, moved[-1]):
            return None
    tied = ties(lambda *arrays: case.loss(list(arrays), []), case.point.arrays)
    if not tied:
        return None
    for point in moved:
        if not all(one.agrees for one in case.compared_at(point).values()):
            return None
    row = case.rows[("grad", case.wrong[0])]
    conventions = (
        f"on the kink manual has {row.manual:.9g} and jax.grad {row.reference:.9g} in "
        f"{row.path}{_at(row)}; moved off it, both agree"
    )
    return Outcome("kink", [*map(str, tied), conventions])


def _is_gone(case: Disagreement, point: Point) -> bool:
    """Whether the leaves that differed do so no more, but for a thousandth.

    Of a kink's difference rounding leaves far less; in a narrow type, no more than it explains.
    """
    keys: list[Key] = [("grad", path) for path in case.wrong]

    def rest(row: Leaf) -> float:
        return max(1e-3 * row.max_abs, row.tolerance if case.narrow else 0.0)

    manual, autodiff = point.leaves("manual"), point.leaves("autodiff")
    # The smallest first: that one is still there is soon seen.
    return all(
        largest_difference(manual[key], autodiff[key]) <= rest(case.rows[key])
        for key in sorted(keys, key=lambda key: manual[key].size)
    )


def _rounding(case: Disagreement) -> Outcome | None:
    """Whether manual's own rounding explains it: its error in float32, and its measured noise.

    From float32 to float64 an error of rounding shrinks by 2⁻²⁹, one of mathematics not at all;
    half of the exponent tells them apart.
    """
    if case.narrow is not None:
        return _narrow_rounding(case)
    error = _error_in_float32(case)
    rows = [case.rows[("grad", path)] for path in case.wrong]
    if not all(row.max_abs <= error(row.path) * 2.0**-14.5 for row in rows):
        return None
    own = two_precisions(case.sides, case.point.arrays, "manual").in_float64(DRAWS)
    if not all(row.max_abs <= own.factor * own.by_leaf[("grad", row.path)] for row in rows):
        return None
    details = [
        f"{row.path}: manual's error is {error(row.path):.1e} in float32 and {row.max_abs:.1e} in "
        f"float64, jax.grad's noise is {row.noise:.1e}: an unstable formula, not a wrong one"
        for row in rows
    ]
    return Outcome("manual_inaccurate", details)


def _narrow_rounding(case: Disagreement) -> Outcome | None:
    """Whether manual's own rounding, in the narrower type it computes in, explains it."""
    assert case.narrow is not None
    own = of_manual(case.sides, case.point.arrays, case.narrow.dtype)
    if own is None:
        return None
    rows = [case.rows[("grad", path)] for path in case.wrong]
    if not all(row.max_abs <= own.factor * own.by_leaf[("grad", row.path)] for row in rows):
        return None
    details = [
        f"{row.path}: manual {case.narrow}, and its own rounding there explains an error of "
        f"{own.factor * own.by_leaf[('grad', row.path)]:.1e}: an unstable formula, not a wrong one"
        for row in rows
    ]
    return Outcome("manual_inaccurate", details)


def is_of_own_loss(case: Disagreement) -> bool:
    """Tells whether manual's gradient is that of its own value, whatever the loss is."""
    value = case.sides.manual.value
    if value is None:
        return False
    own = Side(jax.value_and_grad(opened(value)), value)
    try:
        gradient = case.sides.evaluation.run(own, case.point.arrays, on_cpu=True)
    except Exception:  # It cannot be traced, or not be differentiated.
        return _is_slope_of_own_value(case)
    found = gradient.leaves("")
    return all(
        ("grad", path) in found
        and largest_difference(leaf, found[("grad", path)]) <= case.limit(path, leaf)
        for path, leaf in case.manual_gradient.items()
    )


def _is_slope_of_own_value(case: Disagreement) -> bool:
    """The same by numerical derivatives: they refute the reference, and do not refute manual."""

    def value(leaves: list[Any], constants: list[Any]) -> Any:
        return manual_again(case, [*leaves, *constants])[0]

    derivative = eager_differences(value)
    rng = np.random.default_rng(case.sides.evaluation.seed)
    for _ in range(RANDOM_DIRECTIONS):
        direction = random_direction(rng, case.leaves)
        try:
            slope, error = derivative(case.leaves, case.constants, direction)
        except Exception:  # It has no value of its own, or none at another point.
            return False
        manual, autodiff = (
            abs(along(gradient, direction) - slope)
            for gradient in (case.manual_gradient, case.autodiff_gradient)
        )
        if not manual <= REFUTED * error < autodiff:
            return False
    return True


def forward_passes(case: Disagreement, name: str) -> list[str]:
    """Tells where the two forward passes part, of which the value `name` differs."""
    point, layout = case.point, case.sides.evaluation.layout

    def manual() -> dict[str, Any]:
        return leaves_by_path(manual_again(case)[0], point.value_name)

    def autodiff() -> dict[str, Any]:
        side = case.sides.autodiff.in_float64(point.arrays, layout)
        value, _ = side.eager(jax.device_put(point.arrays), layout=layout)
        return leaves_by_path(value, point.value_name)

    return [*filter(None, [parting(manual, autodiff, name)])]


def _error_in_float32(case: Disagreement) -> Callable[[str], float]:
    """How far manual in float32 is from the float64 gradient at the same point, by path."""
    run, own = case.sides.evaluation.run, case.own
    if own is not None and is_float32_on_cpu(own.arrays):
        manual, right = own.leaves("manual"), case.point.leaves("autodiff")
    else:
        low = [cast(x, np.float32) for x in case.point.arrays]
        exact = [cast(x, np.float64) for x in low]
        manual = run(case.sides.manual, low, on_cpu=True).leaves("")
        right = run(case.sides.autodiff, exact, on_cpu=True).leaves("")
    return lambda path: largest_difference(manual[("grad", path)], right[("grad", path)])


def _ruling(case: Disagreement) -> tuple[Ruling, list[str]]:
    """The referee's word, and where the loss holds something by `stop_gradient`."""
    loss, sites = held(case.loss, [*case.leaves.values()], case.constants)
    return _ruled(case, loss), sites


def _ruled(case: Disagreement, loss: Loss) -> Ruling:
    return rule(
        loss,
        case.leaves,
        case.constants,
        case.manual_gradient,
        case.autodiff_gradient,
        case.wrong,
        case.sides.evaluation.seed,
    )


def _moving_what_is_held(case: Disagreement, sites: list[str]) -> list[str]:
    """Tells that manual is the derivative of all of the loss, what it holds included."""
    if not sites or _ruled(case, case.loss).verdict != "autodiff_wrong":
        return []
    where = ", ".join(dict.fromkeys(shown(site) for site in sites if site))
    at = f" ({where})" if where else ""
    return [f"manual differentiates as well what the loss holds by stop_gradient{at}"]


def _diagnosis(case: Disagreement) -> Diagnosis:
    case, again = to_be_run_again(case)
    wrong = Case(
        case.loss,
        case.leaves,
        case.constants,
        case.manual_gradient,
        case.autodiff_gradient,
        {path: case.rows[("grad", path)].tolerance for path in case.leaves},
        again,
    )
    try:
        return diagnose(wrong)
    except Exception as error:  # Whatever a user's loss holds, the verdict must not be lost.
        reason = f"the search for a name failed: {first_line(error, kind=True)}"
        return Diagnosis("unknown", case.wrong[0], "", reason, confirmed=False)


def _at(row: Leaf) -> str:
    return f" at {row.index}" if row.index else ""
