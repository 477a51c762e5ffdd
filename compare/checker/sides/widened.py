"""A loss computed in float64 all along, whatever narrower types it names on the way.

The reference is the mathematics of a loss. Where the loss itself computes in float32 or bfloat16
inside, its own float64 run is no better than that; so every floating number that depends on an
input is kept in float64 here (a complex one in complex128), and its custom rules are opened
(`opened`).
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from compare.checker.sides.opened import LOOPS, rewritten, traced
from compare.jaxprs import bind, called_jaxpr, evaluate
from compare.trees import shape_of

__all__ = ["widened"]


def widened(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `fn(params, *args)`, which at inputs in float64 computes in float64 throughout.

    Raises (when it runs):
        ValueError: an equation takes apart the bits of a number, or calls a kernel.
    """
    return rewritten(fn, _equation, _traced)


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


def _equation(eqn: core.JaxprEqn, values: list[Any]) -> Sequence[Any]:
    name = eqn.primitive.name
    inner = called_jaxpr(eqn)
    if inner is not None:
        return evaluate(inner.jaxpr, inner.consts, values, _equation)
    if not any(_is_wide(x) for x in values):
        return bind(eqn, *values)
    wide = [jnp.asarray(x, _wide(jnp.result_type(x))) if _is_floating(x) else x for x in values]
    if name in LOOPS:
        return LOOPS[name](eqn, wide, _equation)
    if name in _FORBIDDEN:
        raise ValueError(f"{name} cannot be computed in float64 in place of a narrower type")
    if name == "reduce_precision":
        return wide
    params = dict(eqn.params)
    for setting in ("new_dtype", "preferred_element_type", "dtype"):
        if params.get(setting) is not None:
            params[setting] = _wide(params[setting])
    if params.get("update_jaxpr") is not None:  # What a scatter does with two numbers.
        params["update_jaxpr"], params["update_consts"] = _of_two_wide(params)
    out = eqn.primitive.bind(*wide, **params)
    return list(out) if eqn.primitive.multiple_results else [out]


def _of_two_wide(params: dict[str, Any]) -> tuple[core.Jaxpr, Any]:
    jaxpr, consts = params["update_jaxpr"], params["update_consts"]
    closed = jax.make_jaxpr(lambda *two: evaluate(jaxpr, consts, two, _equation))(
        *(jnp.zeros((), _wide(v.aval.dtype)) for v in jaxpr.invars)
    )
    return closed.jaxpr, tuple(closed.consts)


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
