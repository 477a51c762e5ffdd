"""What an operand should have been, given what the result should have been."""

import math
from typing import Any

import numpy as np

from compare.diagnosis.case import near
from compare.diagnosis.tape import Equation
from compare.trees import in_double, is_key, largest

__all__ = ["doubled", "expected_operand", "same"]


def doubled(value: Any) -> np.ndarray:
    """Returns an array as float64, or complex128 where it is complex."""
    return in_double(np.asarray(value))


def same(found: Any, expected: Any) -> bool:
    """Tells whether two arrays agree to rounding, where the second one is known (not NaN)."""
    found, expected = doubled(found), doubled(expected)
    if found.shape != expected.shape:
        return False
    size = largest(expected)
    if not math.isnan(size):  # The usual case: all is known.
        return near(found, expected, 1e-9 * size)
    known = ~np.isnan(expected)
    if not known.any():
        return True
    scale = float(np.max(np.abs(expected[known])))
    return bool(np.all(np.abs(found[known] - expected[known]) <= 1e-9 * scale))


def expected_operand(
    equation: Equation, operand: int, inputs: list[Any], expected: np.ndarray
) -> np.ndarray | None:
    """Solves an equation for one operand, the others being right.

    Args:
        equation: with one output.
        operand: which input is looked for.
        inputs: the values of all.
        expected: what the output should be; NaN where that is not known.

    Returns:
        What the operand should be, NaN where it cannot be told; None where nothing can.
    """
    if any(is_key(x) for x in inputs):
        return None  # Of a random key nothing can be solved for.
    value = np.asarray(inputs[operand])
    solve = _SOLVED.get(equation.name)
    if (
        solve is None
        or value.dtype.kind not in "fiuc"
        or (equation.name in _OF_TWO and len(inputs) != 2)
    ):
        return None
    with np.errstate(all="ignore"):
        found = solve(equation, operand, [np.asarray(x) for x in inputs], expected)
    if found is None or found.size != value.size:
        return None
    if np.iscomplexobj(found) and not np.iscomplexobj(value):
        return None  # No real number would do.
    found = np.where(np.isfinite(found), found, np.nan).reshape(value.shape)
    return None if np.isnan(found).all() else found


def _other(operand: int, inputs: list[np.ndarray]) -> np.ndarray:
    return in_double(inputs[1 - operand])


def _of_sub(_: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    other = _other(operand, inputs)
    return _unbroadcast(e + other if operand == 0 else other - e, inputs[operand].shape)


def _of_add(_: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return _unbroadcast(e - _other(operand, inputs), inputs[operand].shape)


def _of_mul(_: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return _unbroadcast(e / _other(operand, inputs), inputs[operand].shape)


def _of_div(_: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    other = _other(operand, inputs)
    return _unbroadcast(e * other if operand == 0 else other / e, inputs[operand].shape)


def _of_broadcast(eq: Equation, _: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    """One entry for many: what they agree on."""
    (value,) = inputs[:1]
    kept = eq.params["broadcast_dimensions"]
    shape = [1] * e.ndim
    for axis, n in zip(kept, value.shape, strict=True):
        shape[axis] = n
    return _unbroadcast(e, tuple(shape))


def _unbroadcast(e: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What all copies of an entry should be; NaN where they should be different things."""
    if e.shape == shape:
        return e
    lead = e.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        i + lead for i, n in enumerate(shape) if n == 1 and e.shape[i + lead] != 1
    )
    known = ~np.isnan(e)
    count = known.sum(axis=axes, keepdims=True)
    mean = np.where(known, e, 0).sum(axis=axes, keepdims=True) / np.where(count, count, np.nan)
    spread = np.max(np.where(known, np.abs(e - mean), 0), axis=axes, keepdims=True)
    agreed = np.where(spread <= 1e-9 * np.abs(mean), mean, np.nan)
    return agreed.reshape(shape)


def _of_transpose(eq: Equation, _: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return e.transpose(np.argsort(eq.params["permutation"]))


def _of_concatenate(
    eq: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray
) -> np.ndarray:
    axis = eq.params["dimension"]
    start = sum(x.shape[axis] for x in inputs[:operand])
    return np.take(e, range(start, start + inputs[operand].shape[axis]), axis=axis)


def _of_stack(eq: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return np.take(e, operand, axis=eq.params.get("axis", 0))


def _of_select(
    eq: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray
) -> np.ndarray | None:
    if operand == 0:
        return None
    chosen = np.broadcast_to(inputs[0].astype(int) == operand - 1, e.shape)
    return np.where(chosen, e, np.nan)


def _same_order(eq: Equation, _: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return e


_OF_TWO = ("add", "add_any", "sub", "mul", "div")

_SOLVED: dict[str, Any] = {
    "add": _of_add,
    "add_any": _of_add,
    "sub": _of_sub,
    "mul": _of_mul,
    "div": _of_div,
    "neg": lambda eq, i, x, e: -e,
    "broadcast_in_dim": _of_broadcast,
    "transpose": _of_transpose,
    "concatenate": _of_concatenate,
    "stack": _of_stack,
    "select_n": _of_select,
    **dict.fromkeys(
        ("reshape", "squeeze", "expand_dims", "copy", "convert_element_type"), _same_order
    ),
}
