"""Manual's gradient computed once more, so that its lines can be watched."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_leaves_with_path

from compare.checker.disagreement.case import Disagreement
from compare.checker.noise.constants import (
    constants_of,
    has_rounded_constants,
    in_full,
    shortest,
)
from compare.checker.sides.evaluation import Result
from compare.checker.sides.side import Constant, Side
from compare.checker.sides.widened import widened
from compare.trees import cast, largest_difference, path_of

__all__ = ["leaves_by_path", "manual_again", "to_be_run_again"]


def manual_again(
    case: Disagreement, arrays: list[Any] | None = None, *, by: Side | None = None
) -> tuple[Any, Any]:
    """Computes manual's value and gradient, here or at other arrays, without being compiled.

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


def _run_again(case: Disagreement) -> dict[str, Any]:
    """Manual's gradient by path, computed once more, without being compiled."""
    return _gradient(case, Result(*manual_again(case, by=case.sides.manual.by_lines)))


def to_be_run_again(
    case: Disagreement,
) -> tuple[Disagreement, Callable[[], dict[str, Any]] | None]:
    """Returns the case, and what computes manual's gradient anew, in float64 throughout.

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
        if case.narrow is None and not any(own.margin for own in manual | loss):
            return case, as_it_is
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
    found = leaves_by_path(result.grads, "")
    return {path: found[path] for path in case.manual_gradient}


def _is_manual(case: Disagreement, result: Result) -> bool:
    found = _gradient(case, result)
    return all(
        largest_difference(np.asarray(found[path]), leaf) <= case.limit(path, leaf)
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


def leaves_by_path(tree: Any, name: str) -> dict[str, Any]:
    """Returns the leaves of a tree, as they are, by path."""
    return {path_of(path, name): leaf for path, leaf in tree_leaves_with_path(tree)}
