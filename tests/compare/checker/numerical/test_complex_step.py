"""The complex step: of what is analytic, to rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.numerical.complex_step import complex_step, is_analytic
from tests.compare.checker.numerical.point import W, X


def smooth(leaves, constants):
    return jnp.sum(jnp.tanh(constants[0] @ leaves[0]) ** 2)


@pytest.mark.parametrize(
    ("fn", "expected"),
    [(jnp.tanh, True), (jax.jit(jnp.exp), True), (jnp.abs, False), (jax.nn.relu, False)],
)
def test_what_is_analytic(fn, expected):
    assert is_analytic(jax.make_jaxpr(fn)(X).jaxpr) == expected
    assert is_analytic(jax.make_jaxpr(lambda x: x * jnp.abs(jnp.arange(4)))(X).jaxpr)


def test_it_is_right_to_rounding():
    direction = {"w": np.ones_like(W["w"])}
    value, error = complex_step(smooth)(W, [X], direction)
    exact = float(jnp.sum(jax.grad(smooth)([W["w"]], [X])[0]))
    assert abs(value - exact) <= error <= 1e-10
    assert abs(value - exact) <= 1e-13
