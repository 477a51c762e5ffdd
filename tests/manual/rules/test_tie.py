import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual.rules.activations import leaky_relu, leaky_relu_bwd, leaky_relu_fwd
from manual.rules.dense import dense
from manual.rules.tie import tie


def scale_fwd(x, by, *, power=1):
    """y = x by^power."""
    return x * by**power, (x, by)


def scale_bwd(residuals, dy, *, power=1):
    """A wrong rule on purpose: it returns what no derivative would."""
    _, by = residuals
    return 100 * power * dy, jnp.zeros_like(by)


def test_the_gradient_is_that_of_bwd_and_of_nothing_else():
    f = tie(scale_fwd, scale_bwd)
    assert f(3.0, 2.0) == 6
    assert jax.grad(f)(3.0, 2.0) == 100
    assert jax.grad(f, argnums=1)(3.0, 2.0) == 0


def test_inputs_may_be_given_by_keyword():
    x, w, b = jnp.ones((3, 2)), jnp.full((2, 4), 2.0), jnp.zeros(4)
    dw = jax.grad(lambda w: dense(x, w=w, b=b).sum())(w)
    db = jax.grad(lambda b: dense(b=b, w=w, x=x).sum())(b)
    np.testing.assert_array_equal(dw, np.full((2, 4), 3))
    np.testing.assert_array_equal(db, np.full(4, 3))


def test_settings_reach_both_halves():
    f = tie(scale_fwd, scale_bwd)
    assert f(3.0, 2.0, power=3) == 24
    assert jax.grad(f)(3.0, 2.0, power=3) == 300


def test_settings_are_static_under_jit_and_vmap():
    x = jnp.array([-2.0, 3.0])
    slope = jax.jit(jax.vmap(jax.grad(lambda x: leaky_relu(x, negative_slope=0.25))))
    np.testing.assert_array_equal(slope(x), [0.25, 1])


def test_two_settings_do_not_mix():
    first, second = (jax.grad(lambda x, a=a: leaky_relu(x, negative_slope=a)) for a in (0.5, 0.125))
    assert first(-1.0) == 0.5
    assert second(-1.0) == 0.125
    assert first(-1.0) == 0.5


def test_the_tied_function_reads_like_one_that_was_written():
    f = tie(leaky_relu_fwd, leaky_relu_bwd)
    assert f.__name__ == "leaky_relu"
    assert list(inspect.signature(f).parameters) == ["x", "negative_slope"]
    assert "Backward pass:" in (f.__doc__ or "")


def test_inputs_that_do_not_fit_raise_as_they_would_without_tie():
    with pytest.raises(TypeError, match="missing a required argument: 'b'"):
        dense(jnp.ones((1, 2)), jnp.ones((2, 3)))
    with pytest.raises(TypeError, match="unexpected keyword argument 'slope'"):
        leaky_relu(jnp.ones(2), slope=1.0)
