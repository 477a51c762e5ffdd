import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules.shapes import (
    flatten,
    flatten_bwd,
    flatten_fwd,
    residual,
    residual_bwd,
    residual_fwd,
)


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


def test_residual_is_the_vjp_of_a_sum():
    report = check_rule(
        residual_fwd, residual_bwd, draw(3, 5), -2 * draw(3, 5), reference=lambda x, f: f + x
    )
    assert report.agree, report


def test_both_paths_add_up_where_the_branch_is_a_function_of_x():
    x = jnp.array([1.0, -2.0, 3.0])
    dx = jax.jit(jax.vmap(jax.grad(lambda x: residual(x, x * x))))(x)
    np.testing.assert_array_equal(dx, 1 + 2 * x)


def test_residual_refuses_what_would_broadcast_or_promote():
    with pytest.raises(AssertionError):
        residual(jnp.ones((3, 2)), jnp.ones((1, 2)))
    with pytest.raises(AssertionError, match="type"):
        residual(jnp.ones(3), jnp.ones(3, "bfloat16"))


@pytest.mark.parametrize("shape", [(3, 2, 5, 4), (1, 7), (4,), (2, 0, 3)])
def test_flatten_moves_numbers_there_and_back(shape):
    x = draw(*shape)
    y, residuals = flatten_fwd(x)
    assert y.shape == (shape[0], int(np.prod(shape[1:])))
    np.testing.assert_array_equal(flatten_bwd(residuals, y)[0], x)


def test_flatten_is_the_vjp_of_reshape():
    x = draw(3, 2, 5)
    report = check_rule(flatten_fwd, flatten_bwd, x, reference=lambda x: x.reshape(3, 10))
    assert report.agree, report


def test_flatten_under_jit_grad_and_vmap():
    x, w = draw(4, 2, 3, 5), jnp.arange(15.0)
    dx = jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(flatten(x) * w))))(x)
    np.testing.assert_array_equal(dx, jnp.broadcast_to(w.reshape(3, 5), x.shape))


def test_flatten_refuses_a_scalar():
    with pytest.raises(AssertionError):
        flatten(jnp.ones(()))
