"""What a rule may leave out on purpose, and how a person says that it is meant."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_leaves_with_path

from compare.checker.gradient_report import GradientReport
from compare.checker.sides.question import Question
from compare.trees import by_path

__all__ = ["with_what_may_be_meant"]

Judged = Callable[[Question], GradientReport]


def with_what_may_be_meant(
    report: GradientReport, question: Question, judged: Judged
) -> GradientReport:
    """Tells in the report of a wrong rule what of it may be there on purpose.

    The cotangent of an output that is for a log alone is not read, and an input that is no
    parameter has none; a step has a slope, and what changes nothing another one than 1. All of it
    is published so, and none of it is the derivative.

    Args:
        report: of the rule.
        question: what was asked; the last of its arguments are the cotangents, by number.
        judged: `judged(question)` answers one: it is asked what agrees without what is not read.
    """
    if report.verdict != "manual_wrong":
        return report
    told: list[str] = []
    with contextlib.suppress(Exception):  # Whatever a person's rule does to other numbers.
        told += _another_slope(question)
        told += _zeros(report, question)
        told[:0] = _unread(report, question, judged)
    return dataclasses.replace(report, details=(*told, *report.details))


def _another_slope(question: Question) -> list[str]:
    """Tells of a forward pass that has no slope, or is none."""
    (out, gradient), (_, right) = (
        side.fn(question.params, *question.args) for side in (question.manual, question.autodiff)
    )
    if not any(map(np.any, jax.tree.leaves(right))) and any(map(np.any, jax.tree.leaves(gradient))):
        return [f"what is computed has steps alone, and no slope: {_MEANT}"]
    outs, given = jax.tree.leaves(out), jax.tree.leaves(question.params)
    if len(outs) == len(given) and _are_equal(outs, given):
        return [f"what is given comes out as it is: {_MEANT}"]
    return []


_MEANT = (
    "if this gradient is meant, give a reference that has it, as g(x) + stop_gradient(…) has g's"
)


def _zeros(report: GradientReport, question: Question) -> list[str]:
    """Tells of the inputs whose cotangents are zero throughout, where jax.grad's are not."""
    gradient = by_path(question.manual.fn(question.params, *question.args)[1])
    wrong = [leaf.path for leaf in report.leaves if not leaf.agrees]
    zeros = [path for path in wrong if path in gradient and not np.any(gradient[path])]
    names = dict.fromkeys(path.split("/")[0] for path in zeros)
    if not zeros or len(names) == len({path.split("/")[0] for path in gradient}):
        return []
    constant = ", ".join(f"{name!r}" for name in names) + ("," if len(names) == 1 else "")
    is_zero = "is left at zero" if len(zeros) == 1 else "are left at zero"
    return [f"{_listed(zeros)} {is_zero}: if that is meant, say constant=({constant})"]


def _unread(report: GradientReport, question: Question, judged: Judged) -> list[str]:
    """Tells of the outputs whose cotangents jax.grad takes part of, and the rule does not."""
    params, (fixed, d_out) = question.params, question.args
    if len(d_out) < 2:
        return []
    both = question.manual.fn, question.autodiff.fn
    (out, gradient), (_, right) = (fn(params, fixed, d_out) for fn in both)
    names = ["out" + keystr(path) for path, _ in tree_leaves_with_path(out, is_leaf=_is_none)]
    unread = {}
    for number, d in d_out.items():
        own, by_jax = (fn(params, fixed, {**d_out, number: d + 1})[1] for fn in both)
        if _are_equal(gradient, own) and not _are_equal(right, by_jax):
            unread[number] = names[int(number)]
    if not unread:
        return []
    zeros = {number: jnp.zeros_like(d_out[number]) for number in unread}
    without = judged(question._replace(args=(fixed, {**d_out, **zeros})))
    wrong = {leaf.path for leaf in report.leaves if not leaf.agrees}
    mended = [leaf.path for leaf in without.leaves if leaf.agrees and leaf.path in wrong]
    told = f"the cotangent of {_listed([*unread.values()])} is not read"
    if not mended:
        return [told]
    agree = "agrees" if len(mended) == 1 else "agree"
    return [
        f"{told}, and but for that {_listed(mended)} {agree}: if it is meant, give a reference "
        "that has lax.stop_gradient around that output"
    ]


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _is_none(x: Any) -> bool:
    return x is None


def _are_equal(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
