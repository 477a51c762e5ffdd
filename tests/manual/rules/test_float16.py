"""Float16 holds nothing above 65,504: means over more entries, and losses that are scaled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual import rules

MANY = 70_000


@pytest.mark.parametrize(
    "name",
    ["hinge", "huber", "mean_absolute_error", "mean_squared_error", "sigmoid_binary_cross_entropy",
     "sigmoid_focal"],
)  # fmt: skip
def test_a_loss_over_many_entries_has_a_gradient(name):
    rule = getattr(rules, name)
    z, y = jnp.full(MANY, -1.5), jnp.ones(MANY)
    exact = jax.grad(rule)(z, y)
    found = jax.grad(rule)(z.astype(jnp.float16), y.astype(jnp.float16))
    assert found.dtype == jnp.float16
    # Numbers below 6e-5 have fewer digits.
    np.testing.assert_allclose(found[:2], exact[:2], atol=6e-8)
    assert exact[0] != 0


@pytest.mark.parametrize(
    "name", ["kl_divergence", "softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels"]
)
def test_a_loss_over_many_rows_has_a_gradient(name):
    rule, z = getattr(rules, name), jnp.tile(jnp.array([0.5, -1.0]), (MANY, 1))
    integers = name.endswith("labels")
    y = jnp.ones(MANY, jnp.int32) if integers else jnp.tile(jnp.array([0.25, 0.75]), (MANY, 1))
    exact = jax.grad(rule)(z, y)
    y = y if integers else y.astype(jnp.float16)
    found = jax.grad(rule)(z.astype(jnp.float16), y)
    np.testing.assert_allclose(found[:1], exact[:1], atol=6e-8)
    assert exact[0, 0] != 0


def test_a_mean_over_many_pixels_has_a_gradient():
    x = jnp.ones((1, 256, 256, 1), jnp.float16)
    dx = jax.grad(lambda x: rules.global_average_pool(x).sum())(x)
    assert dx[0, 0, 0, 0] == 2.0**-16


def test_a_scaled_loss_does_not_overflow_on_the_way():
    p, y = jnp.full(100, 0.5, jnp.float16), jnp.zeros(100, jnp.float16)
    dp = jax.grad(lambda p: rules.mean_squared_error(p, y) * 2.0**15)(p)
    np.testing.assert_allclose(dp, 327.68, rtol=1e-3)
