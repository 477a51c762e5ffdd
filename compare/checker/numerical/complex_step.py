"""The complex step (Squire & Trapp 1998): Im f(x + i h d) / h, of a loss that is analytic.

It has no subtraction, and so it gives the derivative to rounding, where every primitive on the way
is analytic.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from compare.checker.noise.rounding import unit_in_last_place
from compare.checker.numerical.derivative import Derivative, Leaves, Loss
from compare.checker.sides.side import compiled
from compare.jaxprs import bind, called_jaxpr, evaluate

__all__ = ["complex_step", "is_analytic"]

_ANALYTIC = frozenset(
    "add add_any asin acos atan broadcast_in_dim concatenate convert_element_type copy cos cosh "
    "cumprod cumsum div dot_general exp exp2 expm1 expand_dims gather integer_pow log log1p "
    "logistic mul neg pad reduce_prod reduce_sum reshape rev rsqrt sin sinh slice sqrt square "
    "squeeze sub tan tanh transpose".split()
)


def is_analytic(jaxpr: core.Jaxpr) -> bool:
    """Tells whether every floating equation is analytic; those of integers may be anything."""
    for eqn in jaxpr.eqns:
        inner = called_jaxpr(eqn)
        floats = [v for v in [*eqn.invars, *eqn.outvars] if _is_floating(v)]
        if inner is not None:
            if not is_analytic(inner.jaxpr):
                return False
        elif floats and eqn.primitive.name not in _ANALYTIC:
            return False
    return True


def _is_floating(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jnp.floating)


def complex_step(loss: Loss) -> Derivative:
    """Returns the derivative of an analytic loss by the complex step."""
    size = 1e-30

    @compiled
    def stepped(moved: list[Any], leaves: list[Any], constants: list[Any]) -> Any:
        closed = jax.make_jaxpr(loss)(leaves, constants)
        inputs = [*moved, *jax.tree.leaves(constants)]
        return jnp.imag(evaluate(closed.jaxpr, closed.consts, inputs, _complex_equation)[0]) / size

    def derivative(
        leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        # All leaves are complex, so that one program serves them all.
        moved = [x + 1j * size * direction.get(path, 0.0) for path, x in leaves.items()]
        value = float(stepped(moved, list(leaves.values()), constants))
        # Its rounding is that of the value itself; sums of many terms may lose a few digits.
        return value, max(abs(value), 1e-3) * 1e4 * unit_in_last_place(np.float64)

    return derivative


def _complex_equation(eqn: core.JaxprEqn, values: list[Any]) -> list[Any]:
    """One equation on complex inputs: what names a real dtype is not to drop the imaginary part."""
    name, inner = eqn.primitive.name, called_jaxpr(eqn)
    if inner is not None:
        return evaluate(inner.jaxpr, inner.consts, values, _complex_equation)
    if not any(jnp.iscomplexobj(v) for v in values):
        return bind(eqn, *values)
    if name == "convert_element_type":
        return values
    if name == "logistic":
        return [1 / (1 + jnp.exp(-values[0]))]
    params = dict(eqn.params)
    if name == "dot_general":
        params["preferred_element_type"] = None
    arrays = [jnp.asarray(v) for v in values]
    arrays = [v.astype(complex) if jnp.issubdtype(v.dtype, jnp.inexact) else v for v in arrays]
    return [eqn.primitive.bind(*arrays, **params)]
