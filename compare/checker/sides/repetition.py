"""Whether a side is a function of its arguments: two calls at one point return the same."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.sides.evaluation import Evaluation, Result
from compare.checker.sides.opened import custom_rules
from compare.checker.sides.side import Arrays, Side, fingerprint, tracing
from compare.trees import in_double

__all__ = ["opened_reference", "require_repeated_loss", "unrepeated"]

_FEW_UNITS = 1024
"""Atomic sums on a GPU add in any order: so many units in the last place of the largest entry."""


def opened_reference(side: Side, arrays: Arrays, evaluation: Evaluation) -> tuple[Side, bytes]:
    """Returns the side that differentiates, with its custom rules opened if it has any.

    With it comes the fingerprint of its loss, for `unrepeated`.

    Raises:
        ValueError: the loss cannot be traced.
    """
    traced = _traced(side, arrays, evaluation)
    has_rules = bool(custom_rules(traced.jaxpr.jaxpr))
    opened = side.opened if has_rules and side.opened is not None else side
    return opened, fingerprint(traced)


def require_repeated_loss(side: Side, arrays: Arrays, evaluation: Evaluation) -> None:
    """Computes the loss twice, traced anew, for where its gradient is not to be had.

    Raises:
        ValueError: the loss cannot be traced, or is not a function of its arguments.
    """
    traced, again = (_traced(side, arrays, evaluation) for _ in range(2))
    if fingerprint(traced) != fingerprint(again):
        own = jax.device_put(arrays)
        values = [t.lower().compile()(own) for t in (traced, again)]
        _require_the_same("the loss", *(Result(value, ()) for value in values))


def _traced(side: Side, arrays: Arrays, evaluation: Evaluation) -> Any:
    loss, layout = side.loss, evaluation.layout
    assert loss is not None

    def of(arrays: Arrays) -> Any:
        params, args = layout.rebuild(arrays)
        return loss(params, *args)

    with tracing(side, compiled=True):
        return jax.jit(lambda arrays: of(arrays)).trace(jax.device_put(arrays))


def unrepeated(
    side: Side,
    first: Result,
    arrays: Arrays,
    evaluation: Evaluation,
    *,
    on_cpu: bool,
    loss: bytes | None = None,
) -> str:
    """Calls a side once more at the same point, traced anew, and runs it where that may differ.

    Args:
        side: which.
        first: what it returned.
        arrays: the point.
        evaluation: how it was run.
        on_cpu: as `Evaluation.run` takes it.
        loss: of the side that differentiates, the fingerprint of its loss. Where the loss alone,
            traced anew, still has it, its gradient is not traced again, which takes longer.

    Returns:
        What a few units of difference are to be reported as; "" where there is none.

    Raises:
        ValueError: it returns something else.
    """
    name = "the loss" if side.loss is not None else "the candidate"
    same = loss is not None and fingerprint(_traced(side, arrays, evaluation)) == loss
    second = evaluation.again(side, arrays, first, on_cpu=on_cpu, traced_anew=not same)
    if second is first:
        return ""
    units = _require_the_same(name, first, second)
    if units < 1:
        return ""
    return f"{name}: two calls differ by {units:.0f} units in the last place of the largest entry"


def _require_the_same(name: str, first: Result, second: Result) -> float:
    """How many units in the last place two results are apart, of the largest entry of all."""
    apart = 0.0
    one, two = first.leaves(""), second.leaves("")
    keys = [key for key, leaf in one.items() if leaf.size and two[key].shape == leaf.shape]
    for key in keys:
        if np.array_equal(one[key], two[key]):
            continue
        with np.errstate(invalid="ignore"):  # Inf − Inf is NaN, which is looked at later.
            difference = np.abs(in_double(one[key]) - in_double(two[key]))
        if not np.max(difference) > 0:
            continue
        largest = max(float(np.max(np.abs(in_double(one[k])))) for k in keys if k[0] == key[0])
        unit = float(jnp.finfo(_type(one[key])).eps) * largest
        units = float(np.max(difference)) / (unit or 1.0)
        if units > _FEW_UNITS:
            at = np.unravel_index(np.argmax(difference), difference.shape)
            raise ValueError(
                f"{name} is not a function of its arguments: two calls gave {one[key][at]:.3g} and "
                f"{two[key][at]:.3g}{_why(key)}"
            )
        apart = max(apart, units)
    return apart


def _why(key: tuple[str, str]) -> str:
    """What two calls can differ by, at the same arguments; of the value, or of a gradient."""
    kind, path = key
    where = f" as the gradient by {path}" if kind == "grad" else ""
    such = " (such as gradients that are added to and never set to zero)" if where else ""
    return (
        f"{where}; that comes from random numbers (pass a random key as an argument), from the "
        f"order of a set, or from state left over from the last call{such}"
    )


def _type(leaf: np.ndarray) -> Any:
    return leaf.dtype if jnp.issubdtype(leaf.dtype, jnp.inexact) else np.float64
