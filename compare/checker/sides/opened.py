"""A loss rewritten for those who judge: its custom rules opened, and what it holds held.

A reference that is differentiated by the rule under test agrees with it whatever the rule says. So
in the reference each `jax.custom_vjp` and `jax.custom_jvp` is replaced by its primal function.
JAX's own rules stay (relu at 0, logaddexp at infinity): they are what `jax.grad` is.

What `stop_gradient` holds has no derivative, and yet it moves with the point. For the referee, who
has values alone, it stays what it is at the point that is judged.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from compare.jaxprs import bind, called_jaxpr, evaluate, inner_jaxprs
from compare.sites import is_called_by_jax, is_jaxs, site_of
from compare.trees import Layout

__all__ = [
    "LOOPS", "Equation", "custom_rules", "held", "opened", "rewritten", "sites_of_held", "traced",
]  # fmt: skip

_RULES = frozenset({"custom_jvp_call", "custom_vjp_call"})

Equation = Callable[[core.JaxprEqn, list[Any]], Sequence[Any]]
Tracing = Callable[[Callable[[list[Any]], Any], list[Any]], tuple[core.ClosedJaxpr, Any]]


def opened(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `fn(params, *args)` with its custom rules opened."""
    return rewritten(fn, _equation)


def traced(fn: Callable[[list[Any]], Any], arrays: list[Any]) -> tuple[core.ClosedJaxpr, Any]:
    """Traces a function of arrays; with it comes the shape of what it returns."""
    return jax.make_jaxpr(fn, return_shape=True)(arrays)


def rewritten(
    fn: Callable[..., Any],
    equation: Equation,
    trace: Tracing = traced,
    constant: Callable[[Any], Any] = lambda value: value,
) -> Callable[..., Any]:
    """Returns `fn(params, *args)`, traced and evaluated with `equation` for each of its equations.

    Args:
        fn: a function of pytrees; what is no array is passed on as it is.
        equation: as `jaxprs.evaluate` takes it.
        trace: how it is traced.
        constant: `constant(value)` stands in place of an array that it closes over.
    """

    def run(params: Any, *args: Any) -> Any:
        layout = Layout((params, args))
        arrays = layout.arrays((params, args))

        def flat(arrays: list[Any]) -> Any:
            params, args = layout.rebuild(arrays)
            return fn(params, *args)

        closed, shape = trace(flat, arrays)
        consts = [constant(value) for value in closed.consts]
        outs = evaluate(closed.jaxpr, consts, arrays, equation)
        return jax.tree.unflatten(jax.tree.structure(shape), outs)

    return run


def custom_rules(jaxpr: core.Jaxpr) -> list[core.JaxprEqn]:
    """Lists the calls of custom rules that are not JAX's own, those inside loops included."""
    found = [eqn for eqn in jaxpr.eqns if _is_persons_rule(eqn)]
    for eqn in jaxpr.eqns:
        for inner in inner_jaxprs(eqn):
            found += custom_rules(inner)
    return found


def _is_persons_rule(eqn: core.JaxprEqn) -> bool:
    if eqn.primitive.name not in _RULES:
        return False
    return not is_jaxs(eqn.params["call_jaxpr"].jaxpr.debug_info.func_src_info or "")


def _equation(eqn: core.JaxprEqn, values: list[Any]) -> Sequence[Any]:
    if not _is_persons_rule(eqn) and not any(custom_rules(j) for j in inner_jaxprs(eqn)):
        return bind(eqn, *values)
    inner = called_jaxpr(eqn)
    if inner is not None:
        return evaluate(inner.jaxpr, inner.consts, values, _equation)
    name = eqn.primitive.name
    if name in LOOPS:
        return LOOPS[name](eqn, values, _equation)
    return bind(eqn, *values)


def sites_of_held(jaxpr: core.Jaxpr) -> list[str]:
    """Lists where a person calls `stop_gradient`, those inside loops included; "" for no site."""
    found = [site_of(eqn) for eqn in jaxpr.eqns if _is_held(eqn)]
    inner = [sites_of_held(j) for eqn in jaxpr.eqns for j in inner_jaxprs(eqn)]
    return [*found, *itertools.chain.from_iterable(inner)]


def held(
    loss: Callable[[list[Any], list[Any]], Any], leaves: list[Any], constants: list[Any]
) -> tuple[Callable[[list[Any], list[Any]], Any], list[str]]:
    """Makes `loss(leaves, constants)` keep what `stop_gradient` holds as it is at these leaves.

    It computes two points side by side, the one it is asked for and this one, of which
    `stop_gradient` hands on this one's.

    Returns:
        The loss, and where it holds something: nowhere, and as it was, if it cannot be done.
    """
    sites = sites_of_held(jax.make_jaxpr(loss)(leaves, constants).jaxpr)
    if not sites:
        return loss, []
    holding = rewritten(loss, _holding)

    def at(moved: list[Any], constants: list[Any]) -> Any:
        both = [jnp.stack([jnp.asarray(x), y]) for x, y in zip(moved, leaves, strict=True)]
        return jax.vmap(lambda own: holding(own, constants))(both)[0]

    try:
        jax.eval_shape(at, leaves, constants)
    except Exception:  # Not all that can be computed can be computed of two at once.
        return loss, []
    return at, sites


def _is_held(eqn: core.JaxprEqn) -> bool:
    """Whether a person holds something here; what JAX itself does moves no value."""
    return eqn.primitive.name == "stop_gradient" and not is_called_by_jax(eqn)


@jax.custom_batching.custom_vmap
def _of_the_second(x: Any) -> Any:
    return x


@_of_the_second.def_vmap
def _(_: int, in_batched: Sequence[bool], x: Any) -> tuple[Any, bool]:
    return (x[1] if in_batched[0] else x), False


def _holding(eqn: core.JaxprEqn, values: list[Any]) -> Sequence[Any]:
    if _is_held(eqn):
        return [_of_the_second(*values)]
    if not any(sites_of_held(j) for j in inner_jaxprs(eqn)):
        return bind(eqn, *values)
    inner = called_jaxpr(eqn)
    if inner is not None:
        return evaluate(inner.jaxpr, inner.consts, values, _holding)
    name = eqn.primitive.name
    return LOOPS[name](eqn, values, _holding) if name in LOOPS else bind(eqn, *values)


def scan(eqn: core.JaxprEqn, values: list[Any], equation: Equation) -> list[Any]:
    """Evaluates a scan with `equation` for the equations of its body."""
    p = eqn.params
    body, n, m = p["jaxpr"], p["num_consts"], p["num_consts"] + p["num_carry"]
    consts, carry, xs = values[:n], values[n:m], values[m:]

    def results(carry: list[Any], x: list[Any]) -> list[Any]:
        return evaluate(body.jaxpr, body.consts, [*consts, *carry, *x], equation)

    def step(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        outs = results(carry, x)
        return _as(carry, outs[: len(carry)]), outs[len(carry) :]

    one = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in xs]
    carry = _widest(carry, jax.eval_shape(results, carry, one)[: len(carry)])
    carry, ys = lax.scan(step, carry, xs, p["length"], reverse=p["reverse"], unroll=p["unroll"])
    return [*carry, *ys]


def while_loop(eqn: core.JaxprEqn, values: list[Any], equation: Equation) -> list[Any]:
    """Evaluates a while loop with `equation` for the equations of its body."""
    p = eqn.params
    n, m = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    test, body = p["cond_jaxpr"], p["body_jaxpr"]

    def is_on(state: list[Any]) -> Any:
        return evaluate(test.jaxpr, test.consts, [*values[:n], *state], equation)[0]

    def results(state: list[Any]) -> list[Any]:
        return evaluate(body.jaxpr, body.consts, [*values[n:m], *state], equation)

    state = _widest(values[m:], jax.eval_shape(results, values[m:]))
    return lax.while_loop(is_on, lambda state: _as(state, results(state)), state)


def cond(eqn: core.JaxprEqn, values: list[Any], equation: Equation) -> list[Any]:
    """Evaluates a choice between branches with `equation` for the equations of each."""

    def taken(branch: core.ClosedJaxpr) -> Callable[..., list[Any]]:
        return lambda *inputs: evaluate(branch.jaxpr, branch.consts, inputs, equation)

    branches = [taken(b) for b in eqn.params["branches"]]
    first, *others = (jax.eval_shape(branch, *values[1:]) for branch in branches)
    wide = functools.reduce(_wider, others, first)

    def alike(branch: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        return lambda *inputs: _as(wide, branch(*inputs))

    return lax.switch(values[0], [alike(b) for b in branches], *values[1:])


# Where an equation is computed in a wider type, what it is chosen or carried with becomes so too.


def _wider(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Of two lists of shapes with dtypes, the one that holds both."""
    return [
        a if a.dtype == b.dtype
        else jax.ShapeDtypeStruct(a.shape, jnp.promote_types(a.dtype, b.dtype))
        for a, b in zip(one, other, strict=True)
    ]  # fmt: skip


def _as(like: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    return [
        x if x.dtype == to.dtype else lax.convert_element_type(x, to.dtype)
        for x, to in zip(values, like, strict=True)
    ]


def _widest(values: Sequence[Any], results: Sequence[Any]) -> list[Any]:
    values = [jnp.asarray(x) if isinstance(x, np.ndarray | np.generic) else x for x in values]
    return _as(_wider(values, results), values)


LOOPS = {"scan": scan, "while": while_loop, "cond": cond}
