"""A loss computed in float64 all along, whatever narrower types it names on the way.

The reference is the mathematics of a loss. Where the loss itself computes in float32 or bfloat16
inside, its own float64 run is no better than that; so every floating number that depends on an
input is kept in float64 here (a complex one in complex128), and its custom rules are opened
(`opened`).
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core, source_info_util

from compare.checker.sides.opened import LOOPS, Equation, rewritten, traced
from compare.jaxprs import bind, called_jaxpr, evaluate, inner_jaxprs
from compare.sites import inner_site
from compare.trees import shape_of

__all__ = ["rounded_constants", "widened"]


def widened(
    fn: Callable[..., Any], constant: Callable[[np.generic], Any] = lambda value: value
) -> Callable[..., Any]:
    """Returns `fn(params, *args)`, which at inputs in float64 computes in float64 throughout.

    Args:
        fn: the function.
        constant: what stands in place of a number of a narrower type that rounding has changed, as
            it has 0.1; the number itself if nothing is given.

    Raises (when it runs):
        ValueError: an equation takes apart the bits of a number, or calls a kernel.
    """
    return rewritten(fn, functools.partial(_equation, constant), _traced)


def _traced(fn: Callable[[list[Any]], Any], arrays: list[Any]) -> tuple[core.ClosedJaxpr, Any]:
    """Traces a function in float64; in a narrower type where it can be traced in that alone.

    A loop that carries a number of float32 cannot be traced in float64, and what it computes is
    known all the same: its equations, with the constants that it has in float32.
    """
    try:
        return traced(fn, arrays)
    except Exception:
        for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
            # As a person's own run has it: no other type is made by default.
            with contextlib.suppress(Exception), jax.enable_x64(False):
                closed, shape = traced(fn, [shape_of(x, dtype) for x in arrays])
                if all(map(_is_the_same_but_wide, arrays, closed.in_avals)):
                    return closed, shape
        raise


def _is_the_same_but_wide(x: Any, aval: Any) -> bool:
    return x.dtype in (aval.dtype, _wide(aval.dtype))


_Constant = Callable[[np.generic], Any]


def _equation(constant: _Constant, eqn: core.JaxprEqn, values: list[Any]) -> Sequence[Any]:
    # What is computed in its stead is of the same line.
    info = eqn.source_info
    with source_info_util.user_context(info.traceback, name_stack=info.name_stack):
        return _computed(constant, eqn, values)


def _computed(constant: _Constant, eqn: core.JaxprEqn, values: list[Any]) -> Sequence[Any]:
    name = eqn.primitive.name
    inner = called_jaxpr(eqn)
    equation = functools.partial(_equation, constant)
    if inner is not None and not inner_site(inner, "of a library"):
        return evaluate(inner.jaxpr, inner.consts, values, equation)
    if inner is not None:
        return _called(eqn, inner, equation)(*values)
    values = [
        constant(a.val) if isinstance(a, core.Literal) and _is_narrow(a) else x
        for a, x in zip(eqn.invars, values, strict=True)
    ]
    if not any(_is_wide(x) for x in values):
        return bind(eqn, *values)
    wide = [jnp.asarray(x, _wide(jnp.result_type(x))) if _is_floating(x) else x for x in values]
    if name in LOOPS:
        return LOOPS[name](eqn, wide, equation)
    if name in _FORBIDDEN:
        raise ValueError(f"{name} cannot be computed in float64 in place of a narrower type")
    if name == "reduce_precision":
        return wide
    params = dict(eqn.params)
    for setting in ("new_dtype", "preferred_element_type", "dtype"):
        if params.get(setting) is not None:
            params[setting] = _wide(params[setting])
    if params.get("update_jaxpr") is not None:  # What a scatter does with two numbers.
        params["update_jaxpr"], params["update_consts"] = _of_two_wide(params, equation)
    out = eqn.primitive.bind(*wide, **params)
    return list(out) if eqn.primitive.multiple_results else [out]


def _called(
    eqn: core.JaxprEqn, inner: core.ClosedJaxpr, equation: Equation
) -> Callable[..., list[Any]]:
    """A call of a library's function, still a call: its equations have no lines of their own."""

    def call(*values: Any) -> list[Any]:
        return evaluate(inner.jaxpr, inner.consts, values, equation)

    call.__name__ = str(eqn.params.get("name", eqn.primitive.name))
    return jax.jit(call)


def _of_two_wide(params: dict[str, Any], equation: Equation) -> tuple[core.Jaxpr, Any]:
    jaxpr, consts = params["update_jaxpr"], params["update_consts"]
    closed = jax.make_jaxpr(lambda *two: evaluate(jaxpr, consts, two, equation))(
        *(jnp.zeros((), _wide(v.aval.dtype)) for v in jaxpr.invars)
    )
    return closed.jaxpr, tuple(closed.consts)


def rounded_constants(jaxpr: core.Jaxpr) -> set[tuple[Any, float]]:
    """Collects the floating constants that rounding has changed, as it has 0.1: type and value.

    Widened, such a constant is what it was rounded to: 0.1 of float32 is not that of float64.
    """
    found = set()
    for eqn in jaxpr.eqns:
        constants = [a for a in eqn.invars if isinstance(a, core.Literal) and _is_rounded(a)]
        found |= {(a.val.dtype, float(a.val)) for a in constants}
        found = found.union(*map(rounded_constants, inner_jaxprs(eqn)))
    return found


def _is_narrow(constant: core.Literal) -> bool:
    return constant.val.dtype != np.float64 and _is_rounded(constant)


def _is_rounded(constant: core.Literal) -> bool:
    """Whether a constant fills its type's digits, as no whole number and no 0.5 does."""
    value, dtype = np.asarray(constant.val), constant.val.dtype
    if value.ndim or not jnp.issubdtype(dtype, jnp.floating) or not np.isfinite(value):
        return False
    number = float(value)
    digits = np.frexp(number)[0] * 2.0 ** (jnp.finfo(dtype).nmant // 2)
    return number != round(number) and digits != round(digits)


def _is_floating(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.inexact)


def _wide(dtype: Any) -> Any:
    """The widest type of the same kind of number: real, complex, or neither."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return jnp.dtype(jnp.complex128)
    return jnp.dtype(jnp.float64) if jnp.issubdtype(dtype, jnp.floating) else dtype


def _is_wide(x: Any) -> bool:
    return jnp.result_type(x) in (jnp.float64, jnp.complex128)


_FORBIDDEN = frozenset({"bitcast_convert_type", "pallas_call", "pure_callback", "io_callback"})
