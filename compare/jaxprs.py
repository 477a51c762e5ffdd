"""Walking a jaxpr equation by equation."""

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend import core

__all__ = ["bind", "called_jaxpr", "evaluate", "primitives"]

_CALLS = frozenset(
    "jit pjit closed_call core_call core_closed_call checkpoint remat remat2 custom_jvp_call "
    "custom_vjp_call custom_vjp_call_jaxpr".split()
)


def evaluate(
    jaxpr: core.Jaxpr,
    consts: Sequence[Any],
    inputs: Sequence[Any],
    equation: Callable[[core.JaxprEqn, list[Any]], Sequence[Any]],
    constant: Callable[[Any], Any] = lambda value: value,
) -> list[Any]:
    """The outputs of a jaxpr, each equation done by `equation(eqn, inputs) -> outputs`.

    Values may be anything that `equation` understands; `constant` makes one of a constant.
    """
    env: dict[core.Var, Any] = dict(zip(jaxpr.invars, inputs, strict=True))
    env.update(zip(jaxpr.constvars, map(constant, consts), strict=True))

    def read(atom: Any) -> Any:
        return constant(atom.val) if isinstance(atom, core.Literal) else env[atom]

    for eqn in jaxpr.eqns:
        outputs = equation(eqn, [read(atom) for atom in eqn.invars])
        env.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def bind(eqn: core.JaxprEqn, *inputs: Any) -> list[Any]:
    """The outputs of one equation, as it is."""
    out = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(eqn.params))
    return list(out) if eqn.primitive.multiple_results else [out]


def called_jaxpr(eqn: core.JaxprEqn) -> core.ClosedJaxpr | None:
    """The jaxpr that an equation merely calls (by `jit`, `remat`, ...); None if it is no call."""
    if eqn.primitive.name not in _CALLS:
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = eqn.params.get(name)
        if inner is not None:
            return inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())
    return None


def primitives(jaxpr: core.Jaxpr) -> set[str]:
    """The names of the primitives of all equations, those inside of loops and calls included."""
    own = {eqn.primitive.name for eqn in jaxpr.eqns}
    return own.union(*map(primitives, core.subjaxprs(jaxpr)))
