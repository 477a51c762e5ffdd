"""The common operations of jax in NumPy, where running one costs a microsecond, not sixty."""

import functools
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.diagnosis.tape import Equation
from compare.jaxprs import plainly

__all__ = ["computed", "quick"]


def computed(equation: Equation, inputs: list[Any]) -> list[Any]:
    """Computes the outputs of an equation, in NumPy where that is known to be the same."""
    own = quick(equation)
    if own is None or not all(isinstance(x, np.ndarray | np.generic) for x in inputs):
        fn = _plainly(equation.fn) if equation.name in ("scan", "while") else equation.fn
        return [_on_host(x) for x in fn(*inputs)]
    try:
        with np.errstate(all="ignore"):
            return [np.asarray(own(equation.params, *inputs))]
    except NotImplementedError:
        return [_on_host(x) for x in equation.fn(*inputs)]


_plainly = functools.lru_cache(maxsize=8)(plainly)
"""Of a loop, which runs a few times: in two thirds of the time, and once."""


def quick(equation: Equation) -> Callable[..., Any] | None:
    """Finds what computes the one output of an equation, `f(params, *arrays)`, if NumPy can.

    It raises NotImplementedError of params that it does not know.
    """
    return None if equation.whole else _QUICK.get(equation.name)


def _on_host(value: Any) -> Any:
    try:
        return np.asarray(value)
    except TypeError:  # A random key.
        return value


def _plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, *inputs: fn(*inputs)


def _broadcast(params: dict[str, Any], x: Any, *_: Any) -> Any:
    shape = [1] * len(params["shape"])
    for axis, n in zip(params["broadcast_dimensions"], x.shape, strict=True):
        shape[axis] = n
    return np.broadcast_to(x.reshape(shape), params["shape"])


def _dot(params: dict[str, Any], a: Any, b: Any) -> Any:
    subscripts = _subscripts(params["dimension_numbers"], a.ndim, b.ndim)
    return np.einsum(subscripts, a, b, optimize=a.size + b.size > _LARGE)


_LARGE = 2**12
"""So many entries are worth the time in which `einsum` finds a matrix product in its subscripts."""


@functools.cache
def _subscripts(numbers: Any, ndim_a: int, ndim_b: int) -> str:
    """A product's dimension numbers as `einsum` takes them."""
    (contract_a, contract_b), (batch_a, batch_b) = numbers
    letters = iter(string.ascii_letters)
    of_a, of_b = [""] * ndim_a, [""] * ndim_b
    for i, j in [*zip(batch_a, batch_b, strict=True), *zip(contract_a, contract_b, strict=True)]:
        of_a[i] = of_b[j] = next(letters)
    of_a = [c or next(letters) for c in of_a]
    of_b = [c or next(letters) for c in of_b]
    batch = [of_a[i] for i in batch_a]
    rest_a = [c for i, c in enumerate(of_a) if i not in (*batch_a, *contract_a)]
    rest_b = [c for i, c in enumerate(of_b) if i not in (*batch_b, *contract_b)]
    return f"{''.join(of_a)},{''.join(of_b)}->{''.join([*batch, *rest_a, *rest_b])}"


def _stacked(params: dict[str, Any], *xs: Any) -> Any:
    if "axis" not in params:  # A call that was watched: its function knows the axis.
        raise NotImplementedError
    return np.stack(xs, axis=params["axis"])


def _select(params: dict[str, Any], which: Any, *cases: Any) -> Any:
    chosen = cases[0]
    for i, case in enumerate(cases[1:], 1):
        chosen = np.where(which.astype(int) == i, case, chosen)
    return chosen


def _divided(params: dict[str, Any], a: Any, b: Any) -> Any:
    if a.dtype.kind != "f":
        return np.trunc(a / b).astype(a.dtype)
    return a / b


def _slice(params: dict[str, Any], x: Any) -> Any:
    ends = zip(params["start_indices"], params["limit_indices"], strict=True)
    strides = params["strides"] or (1,) * x.ndim
    return x[tuple(slice(a, b, n) for (a, b), n in zip(ends, strides, strict=True))]


def _padded(params: dict[str, Any], x: Any, value: Any) -> Any:
    widths = params["padding_config"]
    if any(low < 0 or high < 0 or inner for low, high, inner in widths):
        raise NotImplementedError("negative or inner padding")
    return np.pad(x, [(low, high) for low, high, _ in widths], constant_values=value)


def _cumulated(params: dict[str, Any], x: Any) -> Any:
    axis = params["axis"]
    return np.flip(np.flip(x, axis).cumsum(axis), axis) if params["reverse"] else x.cumsum(axis)


_QUICK: dict[str, Callable[..., Any]] = {
    "add": _plain(np.add),
    "add_any": _plain(np.add),
    "sub": _plain(np.subtract),
    "mul": _plain(np.multiply),
    "div": _divided,
    "neg": _plain(np.negative),
    "max": _plain(np.maximum),
    "min": _plain(np.minimum),
    "abs": _plain(np.abs),
    "sign": _plain(np.sign),
    "exp": _plain(np.exp),
    "log": _plain(np.log),
    "log1p": _plain(np.log1p),
    "sin": _plain(np.sin),
    "cos": _plain(np.cos),
    "tanh": _plain(np.tanh),
    "sqrt": _plain(np.sqrt),
    "rsqrt": _plain(lambda x: 1 / np.sqrt(x)),
    "square": _plain(np.square),
    "logistic": _plain(lambda x: 0.5 * (1 + np.tanh(0.5 * x))),
    "integer_pow": lambda p, x: x ** float(p["y"]) if x.dtype.kind == "f" else x ** p["y"],
    "gt": _plain(np.greater),
    "ge": _plain(np.greater_equal),
    "lt": _plain(np.less),
    "le": _plain(np.less_equal),
    "eq": _plain(np.equal),
    "ne": _plain(np.not_equal),
    "slice": _slice,
    "pad": _padded,
    "cumsum": _cumulated,
    "is_finite": _plain(np.isfinite),
    "and": _plain(np.bitwise_and),
    "or": _plain(np.bitwise_or),
    "not": _plain(np.bitwise_not),
    "expm1": _plain(np.expm1),
    "rev": lambda p, x: np.flip(x, tuple(p["dimensions"])),
    "reduce_sum": lambda p, x: x.sum(axis=tuple(p["axes"])),
    "reduce_max": lambda p, x: x.max(axis=tuple(p["axes"])),
    "transpose": lambda p, x: x.transpose(p["permutation"]),
    "reshape": lambda p, x, *_: x.reshape(p["new_sizes"]),
    "squeeze": lambda p, x: x.squeeze(tuple(p["dimensions"])),
    "broadcast_in_dim": _broadcast,
    "convert_element_type": lambda p, x: x.astype(p["new_dtype"]),
    "stop_gradient": _plain(lambda x: x),
    "copy": _plain(lambda x: x),
    "concatenate": lambda p, *xs: np.concatenate(xs, axis=p["dimension"]),
    "select_n": _select,
    "dot_general": _dot,
    "stack": _stacked,
    "reduce_min": lambda p, x: x.min(axis=tuple(p["axes"])),
    "reduce_prod": lambda p, x: x.prod(axis=tuple(p["axes"])),
    "exp2": _plain(np.exp2),
    "atan2": _plain(np.arctan2),
    "clamp": _plain(lambda low, x, high: np.clip(x, low, high)),
}
