"""A loss computed in float64 all along, whatever narrower types it names on the way.

The reference is the mathematics of a loss. Where the loss itself computes in float32 or bfloat16
inside, its own float64 run is no better than that; so every floating number that depends on an
input is kept in float64 here (a complex one in complex128), and its custom rules are opened
(`opened`).
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core, source_info_util

from compare.checker.sides.opened import LOOPS, Equation, rewritten, traced
from compare.jaxprs import bind, called_jaxpr, evaluate, inner_jaxprs
from compare.sites import inner_site
from compare.trees import shape_of

__all__ = ["Rounded", "rounding", "rounds_constants", "widened"]


def widened(
    fn: Callable[..., Any], constant: Callable[[Any], Any] = lambda value: value
) -> Callable[..., Any]:
    """Returns `fn(params, *args)`, which at inputs in float64 computes in float64 throughout.

    Args:
        fn: the function.
        constant: `constant(value)` stands in place of a number that is rounded (`rounding`); the
            number itself if nothing is given.

    Raises (when it runs):
        ValueError: an equation takes apart the bits of a number, or calls a kernel.
    """

    def known(value: Any) -> Any:
        return value if rounding(value) is None else constant(value)

    return rewritten(fn, functools.partial(_equation, known), _traced, known)


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


_Constant = Callable[[Any], Any]


def _equation(constant: _Constant, eqn: core.JaxprEqn, values: list[Any]) -> Sequence[Any]:
    # What is computed in its stead is of the same line.
    info = eqn.source_info
    with source_info_util.user_context(info.traceback, name_stack=info.name_stack):
        return _computed(constant, eqn, values)


def _computed(constant: _Constant, eqn: core.JaxprEqn, values: list[Any]) -> Sequence[Any]:
    name = eqn.primitive.name
    inner = called_jaxpr(eqn)
    equation = functools.partial(_equation, constant)
    is_known = not any(isinstance(x, Tracer) for x in values)
    if is_known and inner is None and name not in _MOVES and _is_narrow_result(eqn):
        with jax.ensure_compile_time_eval():  # A constant as well, as 1 / √48 is.
            return bind(eqn, *values)
    values = [x if isinstance(x, Tracer) else constant(x) for x in values]
    if inner is not None and not inner_site(inner, "of a library"):
        return evaluate(inner.jaxpr, inner.consts, values, equation)
    if inner is not None:
        return _called(eqn, inner, equation)(*values)
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


# Of one number they make the same number, or that number many times.
_MOVES = frozenset({"broadcast_in_dim", "copy", "reshape", "squeeze", "expand_dims"})


def _is_narrow_result(eqn: core.JaxprEqn) -> bool:
    """Whether an equation makes a single number of a narrower type."""
    avals: list[Any] = [out.aval for out in eqn.outvars]
    return len(avals) == 1 and _is_narrow(avals[0]) and avals[0].shape == ()


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


class Rounded(NamedTuple):
    """A constant that is not exact, as 0.1 is not.

    Attributes:
        dtype: the type that has rounded it.
        value: what it was rounded to.
    """

    dtype: Any
    value: float

    @property
    def margin(self) -> float:
        """How far it may be from what it was before: 0 if it is known as well as float64 can.

        Of a type, four halves of a unit in its last place: a number may be the product of two that
        were rounded as well. Of digits as they are written, one in the last, if there are so many
        that they will be the first of more.
        """
        if self.dtype != np.float64:
            # A unit in the last place of 1, and of a number in [2ᵏ, 2ᵏ⁺¹).
            exponent = int(np.frexp(self.value)[1]) - 1
            return 2 * float(jnp.finfo(self.dtype).eps) * 2.0**exponent
        _, digits, exponent = Decimal(repr(self.value)).as_tuple()
        return 10.0 ** int(exponent) if len(digits) in _WRITTEN else 0.0

    def comes_from(self, number: float) -> bool:
        """Tells whether this is what a number is rounded to."""
        if self.dtype != np.float64:
            return float(np.asarray(number).astype(self.dtype)) == self.value
        return abs(number - self.value) < self.margin


_WRITTEN = range(7, 15)
"""A constant of fewer digits is meant so, as 1.702 is; one of more is all of float64's."""


def rounds_constants(closed: core.ClosedJaxpr) -> bool:
    """Tells whether there may be a constant that is known less well than float64 can.

    Widened, such a constant is what it was rounded to: 0.1 of float32 is not that of float64.
    """
    constants = map(rounding, itertools.chain(closed.consts, _literals(closed.jaxpr)))
    return _narrows(closed.jaxpr) or any(known.margin for known in constants if known is not None)


def rounding(constant: Any) -> Rounded | None:
    """Returns a constant as what has rounded it; None of what is exact, or no single number.

    A number of float64 that float32 can hold has come from there.
    """
    dtype = getattr(constant, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating) or np.size(constant) != 1:
        return None
    number = float(np.asarray(constant).reshape(()))
    with np.errstate(over="ignore"):
        narrow = number == float(np.float32(number))
    own = np.dtype(np.float32) if narrow and dtype == np.float64 else np.dtype(dtype)
    return Rounded(own, number) if _fills(number, own) else None


def _fills(number: float, dtype: Any) -> bool:
    """Whether a number needs the digits of its type, as no whole number and no 0.5 does."""
    if not np.isfinite(number):
        return False
    digits = np.frexp(number)[0] * 2.0 ** (jnp.finfo(dtype).nmant // 2)
    return number != round(number) and digits != round(digits)


def _narrows(jaxpr: core.Jaxpr) -> bool:
    """Whether any number is of a narrower type."""
    return any(
        any(_is_narrow(v.aval) for v in eqn.outvars) or any(map(_narrows, inner_jaxprs(eqn)))
        for eqn in jaxpr.eqns
    )


def _is_narrow(aval: Any) -> bool:
    dtype = getattr(aval, "dtype", np.float64)
    return jnp.issubdtype(dtype, jnp.floating) and dtype != np.float64


def _literals(jaxpr: core.Jaxpr) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        yield from (a.val for a in eqn.invars if isinstance(a, core.Literal))
        for inner in inner_jaxprs(eqn):
            yield from _literals(inner)


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
