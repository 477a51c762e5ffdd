"""After a disagreement: is it a kink, is it rounding, who is wrong, and which mistake is it?"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.tree_util import tree_leaves_with_path

from compare.checker.comparison import Comparison, Rows, mathematics
from compare.checker.kinks import perturbed, ties
from compare.checker.leaf import Leaf
from compare.checker.noise.constants import (
    constants_of,
    has_rounded_constants,
    in_full,
    shortest,
)
from compare.checker.noise.measure import in_narrower, of_manual, two_precisions
from compare.checker.numerical.derivative import Loss
from compare.checker.numerical.differences import eager_differences
from compare.checker.referee import (
    RANDOM_DIRECTIONS,
    REFUTED,
    Ruling,
    along,
    random_direction,
    rule,
)
from compare.checker.reporting.verdicts import Verdict
from compare.checker.sides.evaluation import DRAWS, Key, Point, Result, Sides
from compare.checker.sides.float64 import is_float32_on_cpu
from compare.checker.sides.narrowing import Narrowing
from compare.checker.sides.opened import held, opened
from compare.checker.sides.side import Constant, Side
from compare.checker.sides.widened import widened
from compare.diagnosis.case import Case, Diagnosis, Leaves
from compare.diagnosis.search import diagnose
from compare.diagnosis.watching.parting import parting
from compare.escapes import first_line
from compare.sites import shown
from compare.trees import cast, largest, largest_difference, path_of

__all__ = [
    "Disagreement",
    "Outcome",
    "forward_passes",
    "investigate",
    "is_of_own_loss",
    "overruled",
]


class Disagreement(NamedTuple):
    """Two gradients in float64 that differ by more than rounding explains.

    Attributes:
        sides: how to run both.
        point: where, and what they returned there.
        rows: the leaves compared, by key.
        narrow: the narrower type that manual computes in, or None.
        own: what they returned there in the dtype asked for, where that is known.
    """

    sides: Sides
    point: Point
    rows: Rows
    narrow: Narrowing | None = None
    own: Point | None = None

    @property
    def wrong(self) -> list[str]:
        """The paths of the gradient that do not agree."""
        return [
            path for (kind, path), row in self.rows.items() if kind == "grad" and not row.agrees
        ]

    @property
    def manual_gradient(self) -> Leaves:
        """Manual's gradient by path."""
        return self._gradient("manual")

    @property
    def autodiff_gradient(self) -> Leaves:
        """Autodiff's gradient by path."""
        return self._gradient("autodiff")

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
        layout = self.sides.evaluation.layout
        loss = self.sides.autodiff.in_float64(self.point.arrays, layout).loss
        assert loss is not None
        params, args = layout.rebuild([*leaves, *constants])
        return loss(params, *args)

    def compared_at(self, point: Point) -> Comparison:
        """Compares both sides at another point, by the noise there."""
        if self.narrow is not None:
            noise = in_narrower(self.sides, point.arrays, self.narrow.dtype)
            return mathematics(point, noise, dtype=self.narrow.dtype)
        noise = two_precisions(self.sides, point.arrays).in_float64(DRAWS)
        return mathematics(point, noise)

    def _gradient(self, side: Literal["manual", "autodiff"]) -> Leaves:
        return {
            path: leaf for (kind, path), leaf in self.point.leaves(side).items() if kind == "grad"
        }


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
    if ruling.verdict == "autodiff_wrong":
        return Outcome("autodiff_wrong", [str(ruling)])
    if ruling.verdict == "inconclusive":
        tried = "too small a difference to decide who is wrong"
        return Outcome("inconclusive", [f"{ruling}: {tried}"])
    also = ["jax.grad is wrong as well: " + str(ruling)] if ruling.verdict == "both" else []
    told = [*_moving_what_is_held(case, sites), *(also or [str(ruling)])]
    return Outcome("manual_wrong", told, _diagnosis(case))


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
        and largest_difference(leaf, found[("grad", path)]) <= _limit(case, path, leaf)
        for path, leaf in case.manual_gradient.items()
    )


def _is_slope_of_own_value(case: Disagreement) -> bool:
    """The same by numerical derivatives: they refute the reference, and do not refute manual."""

    def value(leaves: list[Any], constants: list[Any]) -> Any:
        return _manual_again(case, [*leaves, *constants])[0]

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
        return _by_path(_manual_again(case)[0], point.value_name)

    def autodiff() -> dict[str, Any]:
        side = case.sides.autodiff.in_float64(point.arrays, layout)
        value, _ = side.eager(jax.device_put(point.arrays), layout=layout)
        return _by_path(value, point.value_name)

    return [*filter(None, [parting(manual, autodiff, name)])]


def _limit(case: Disagreement, path: str, leaf: np.ndarray) -> float:
    """The tolerance of a leaf at the size of manual's numbers, which may be larger."""
    row = case.rows[("grad", path)]
    right = largest(case.autodiff_gradient[path])
    size = largest(leaf)
    return row.tolerance * max(1.0, size / right if right else 1.0)


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
    case, again = _to_be_run_again(case)
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


def _run_again(case: Disagreement) -> dict[str, Any]:
    """Manual's gradient by path, computed once more, without being compiled."""
    return _gradient(case, Result(*_manual_again(case, by=case.sides.manual.by_lines)))


def _to_be_run_again(
    case: Disagreement,
) -> tuple[Disagreement, Callable[[], dict[str, Any]] | None]:
    """The case, and what computes manual's gradient anew, in float64 throughout.

    Whatever narrower types manual names: in one of those none of its values is one of the loss to
    the digits of float64, and the first line of all would be taken for the wrong one. For the same
    reason both have their constants in full.

    Returns:
        None in place of the candidate where its values would not be those of the loss: it cannot be
        traced, is another in float64, or has constants that the loss has in a type of its own.
    """
    sides, arrays = case.sides, jax.device_put(case.point.arrays)
    as_it_is = functools.partial(_run_again, case)
    if case.narrow is None and not has_rounded_constants(sides, arrays):
        return case, as_it_is
    try:
        manual, loss = _constants(case)
        constant = in_full(manual, loss)
        if constant is None:
            return case, None
        case = _at_constants(case, constant)
        if case.narrow is None and not any(own.margin for own in manual):
            return case, as_it_is if _has_the_value(case) else None
        # In float64 it has to be what it was, before it is given other constants.
        if not _is_manual(case, _eager(case, widened(sides.manual.fn))):
            return case, None
        run = functools.partial(_eager, case, widened(sides.manual.fn, constant))

        def gradient() -> dict[str, Any]:
            return _gradient(case, run())

        # No function of Python's own: while it traces, there are no values that could be watched.
        return case._replace(point=case.point._replace(manual=run())), gradient.__call__
    except Exception:  # A kernel, a loss that cannot be traced in float64.
        return case, None


def _eager(case: Disagreement, fn: Callable[..., Any]) -> Result:
    """What a function returns in manual's stead, without being compiled."""
    arrays = jax.device_put(case.point.arrays)
    return Result(*Side(fn).eager(arrays, layout=case.sides.evaluation.layout))


def _gradient(case: Disagreement, result: Result) -> dict[str, Any]:
    found = _by_path(result.grads, "")
    return {path: found[path] for path in case.manual_gradient}


def _is_manual(case: Disagreement, result: Result) -> bool:
    found = _gradient(case, result)
    return all(
        largest_difference(np.asarray(found[path]), leaf) <= _limit(case, path, leaf)
        for path, leaf in case.manual_gradient.items()
    )


def _constants(case: Disagreement) -> tuple[set[Any], set[Any]]:
    """The constants of manual and of the loss that rounding has changed.

    What NumPy computes with is not known; it is taken for what a person will have written.
    """
    arrays = case.point.arrays
    manual, loss = constants_of(case.sides, arrays)
    if case.narrow is not None and (manual is None or loss is None):  # It runs in that type alone.
        manual, loss = constants_of(case.sides, [cast(x, case.narrow.dtype) for x in arrays])
    loss = loss or set()
    return shortest(loss) if manual is None else manual, loss


def _at_constants(case: Disagreement, constant: Constant) -> Disagreement:
    """The case with a reference that has other constants."""
    sides = case.sides
    if sides.autodiff.at_constants is None:
        return case
    reference = sides.autodiff.at_constants(constant)
    autodiff = sides.evaluation.run(reference, case.point.arrays, on_cpu=True)
    point = case.point._replace(autodiff=autodiff)
    return case._replace(sides=sides._replace(autodiff=reference), point=point)


def _has_the_value(case: Disagreement) -> bool:
    """Whether the value that manual returns is the loss's, if that is part of the comparison."""
    manual, autodiff = case.point.leaves("manual"), case.point.leaves("autodiff")
    return all(
        largest_difference(manual[key], autodiff[key]) <= row.tolerance
        for key, row in case.rows.items()
        if key[0] == "value"
    )


def _manual_again(
    case: Disagreement, arrays: list[Any] | None = None, *, by: Side | None = None
) -> tuple[Any, Any]:
    """Manual's value and gradient, here or at other arrays, without being compiled.

    Args:
        case: the disagreement.
        arrays: where; None for where the sides disagree.
        by: the side that computes them; None for manual itself.
    """
    sides = case.sides
    at = case.point.arrays if arrays is None else arrays
    own = jax.device_put([cast(x, sides.manual_dtype) for x in at])
    given = sides.evaluation.given(sides.manual, own)
    return (by or sides.manual).eager(given, layout=sides.evaluation.layout)


def _by_path(tree: Any, name: str) -> dict[str, Any]:
    return {path_of(path, name): leaf for path, leaf in tree_leaves_with_path(tree)}


def _at(row: Leaf) -> str:
    return f" at {row.index}" if row.index else ""
