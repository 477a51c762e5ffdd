import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manual.rules import activations
from manual.rules.activations import ACTIVATIONS, by_name

REFERENCES = {
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "gelu_erf": functools.partial(jax.nn.gelu, approximate=False),
    "identity": lambda x: 1.0 * x,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}

# The longest chain from x to dx is gelu's: 5 roundings to v, 4 units for each of two exponentials
# and 2 for the rest of each logistic function, 5 to put the terms together: 22. The reference has
# as many. All of these functions have |f′| ≤ 1.13, and v handles at most 4.5 times what comes out
# (t σ′(t), t² σ″(t) and their like, with v′ x ≤ 3 v), |f″| ≤ 1: an eps early on moves dx by at most
# eps |dy| 4.5 (1 + |x|).
ROUNDINGS = 2 * 22
SPREAD = 4.5

names = pytest.mark.parametrize("name", sorted(ACTIVATIONS))


def draw(seed, shape, dtype):
    x, dy = np.random.default_rng(seed).standard_normal((2, *shape))
    return jnp.asarray(2 * x, dtype), jnp.asarray(dy, dtype)


def apply(pair, x, dy):
    y, residuals = pair.fwd(x)
    (dx,) = pair.bwd(residuals, dy)
    return y, dx


def reference(name, x, dy):
    y, vjp = jax.vjp(REFERENCES[name], x)
    return y, vjp(dy)[0]


def test_every_activation_has_a_reference():
    assert ACTIVATIONS.keys() == REFERENCES.keys()


@pytest.mark.table
@names
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pair_is_the_vjp_of_the_reference(name, dtype, assert_rounds_to):
    with jax.enable_x64(dtype == "float64"):
        x, dy = draw(0, (7, 5), dtype)
        # One compilation takes less time than that of every operation by itself.
        y, dx = jax.jit(functools.partial(apply, ACTIVATIONS[name]))(x, dy)
        want_y, want_dx = jax.jit(functools.partial(reference, name))(x, dy)
        spread = SPREAD * (1 + np.abs(x))
        assert_rounds_to(y, want_y, roundings=ROUNDINGS, scale=spread)
        assert_rounds_to(dx, want_dx, roundings=ROUNDINGS, scale=np.abs(dy) * spread)


@pytest.mark.table
@names
@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    value=st.floats(-60, 60, width=32, allow_subnormal=False),
    cotangent=st.floats(-8, 8, width=32, allow_subnormal=False),
)
def test_pair_agrees_at_any_value(name, value, cotangent):
    # gelu's tanh is steeper than the bound above allows for beyond |x| = 8; there f is linear.
    x, dy = jnp.full((3,), value), jnp.full((3,), cotangent)
    y, dx = apply(ACTIVATIONS[name], x, dy)
    want_y, want_dx = reference(name, x, dy)
    bound = ROUNDINGS * float(jnp.finfo(x.dtype).eps) * SPREAD * (1 + abs(value))
    assert np.all(np.abs(y - want_y) <= bound)
    assert np.all(np.abs(dx - want_dx) <= bound * abs(cotangent))


@names
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3, 5)])
def test_any_shape(name, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    y, dx = jax.eval_shape(functools.partial(apply, ACTIVATIONS[name]), x, x)
    assert y.shape == dx.shape == shape


@names
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_largest_numbers_stay_finite(name, dtype):
    largest = float(jnp.finfo(dtype).max)
    x = jnp.array([largest, -largest, largest / 2, -1e4, 1e4], dtype)
    y, dx = apply(ACTIVATIONS[name], x, jnp.ones_like(x))
    assert y.dtype == dx.dtype == x.dtype
    assert np.isfinite(y.astype(jnp.float32)).all()
    assert np.isfinite(dx.astype(jnp.float32)).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["gelu", "gelu_erf", "silu", "relu", "softplus"])
def test_saturated_units_pass_all_or_nothing_exactly(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        largest = float(jnp.finfo(dtype).max)
        x = jnp.array([1e4, -1e4, largest, -largest], dtype)
        y, dx = apply(ACTIVATIONS[name], x, jnp.ones_like(x))
        np.testing.assert_array_equal(y, jnp.maximum(x, 0))
        np.testing.assert_array_equal(dx, np.array([1, 0, 1, 0], x.dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bound_of_the_slope_in_gelu_changes_nothing(dtype):
    with jax.enable_x64(dtype == "float64"):
        for edge in (23.999, 24.0, 24.001):
            x = jnp.array([edge, -edge], dtype)
            y, dx = apply(ACTIVATIONS["gelu"], x, jnp.ones_like(x))
            np.testing.assert_array_equal(y, jnp.maximum(x, 0))
            np.testing.assert_array_equal(dx, [1, 0])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_the_second_derivative_is_finite_where_units_are_saturated(name, dtype):
    ends = [1e4] if dtype == "float32" else []
    x = jnp.array([sign * size for size in (0, 1, 20, 60, *ends) for sign in (1, -1)], dtype)
    second, exact = (
        jax.vmap(jax.grad(jax.grad(fn)))(x) for fn in (ACTIVATIONS[name], getattr(jax.nn, name))
    )
    np.testing.assert_allclose(second, exact, atol=8 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize(("name", "roundings"), [("silu", 10), ("gelu", 22)])
def test_the_digits_that_cancel_in_autodiff_are_kept(name, roundings):
    """A rounding moves a derivative of at most 1.13 by half a unit; `jax.grad` is further off."""
    x = jnp.linspace(-30, 30, 4001)
    _, dx = apply(ACTIVATIONS[name], x, jnp.ones_like(x))
    _, by_autodiff = reference(name, x, jnp.ones_like(x))
    with jax.enable_x64(True):
        exact_x = jnp.asarray(np.asarray(x, np.float64))
        exact = np.asarray(reference(name, exact_x, jnp.ones_like(exact_x))[1])
    bound = roundings / 2 * 1.13 * float(jnp.finfo(x.dtype).eps)
    assert np.abs(dx - exact).max() <= bound
    assert np.abs(by_autodiff - exact).max() > bound


@names
def test_nan_comes_out_as_nan(name):
    x = jnp.array([jnp.nan, 1.0])
    y, dx = apply(ACTIVATIONS[name], x, jnp.ones_like(x))
    assert np.isnan(y).tolist() == [True, False]
    # The identity's derivative does not depend on x.
    assert np.isnan(dx).tolist() == [name != "identity", False]


@pytest.mark.parametrize(("name", "slope"), [("relu", 0.0), ("leaky_relu", 1.0), ("elu", 1.0)])
def test_kinks_are_those_of_jax_nn(name, slope):
    x, dy = jnp.array([0.0, -0.0]), jnp.array([3.0, -2.0])
    _, dx = apply(ACTIVATIONS[name], x, dy)
    np.testing.assert_array_equal(dx, slope * dy)
    np.testing.assert_array_equal(dx, jax.vjp(REFERENCES[name], x)[1](dy)[0])


@pytest.mark.parametrize("slope", [0.3, 0.0, -0.5, 2.0])
def test_leaky_relu_takes_any_slope(slope):
    x, dy = draw(2, (11,), "float32")
    x = x.at[0].set(0.0)
    dx = jax.vjp(lambda x: activations.leaky_relu(x, negative_slope=slope), x)[1](dy)[0]
    want = jax.vjp(lambda x: jax.nn.leaky_relu(x, slope), x)[1](dy)[0]
    np.testing.assert_array_equal(dx, want)


@pytest.mark.parametrize("alpha", [0.3, 0.0, 2.0])
def test_elu_takes_its_alpha(alpha, assert_rounds_to):
    x, dy = draw(3, (11,), "float32")
    x = x.at[0].set(0.0)
    dx = jax.vjp(lambda x: activations.elu(x, alpha=alpha), x)[1](dy)[0]
    want = jax.vjp(lambda x: jax.nn.elu(x, alpha), x)[1](dy)[0]
    # expm1 within 4 units, times alpha, plus alpha, times dy, on both sides.
    assert_rounds_to(dx, want, roundings=2 * 7, scale=np.abs(dy) * max(alpha, 1))


def test_elu_refuses_a_negative_alpha():
    with pytest.raises(ValueError, match=r"elu's alpha must not be negative, got -1"):
        activations.elu(jnp.ones(2), alpha=-1.0)


@pytest.mark.table
@names
def test_tied_function_under_grad_jit_and_vmap(name, assert_rounds_to):
    f, reference = getattr(activations, name), REFERENCES[name]
    x, _ = draw(4, (3, 5), "float32")

    def own(f):
        return lambda row: jnp.sum(jnp.sin(f(row)) * row)

    got = jax.jit(jax.vmap(jax.grad(own(f))))(x)
    want = jax.vmap(jax.grad(own(reference)))(x)
    # sin and cos (4 units each), the product with x, and the sum of two terms: 10 more a side.
    scale = SPREAD * (1 + np.abs(x)) ** 2
    assert_rounds_to(got, want, roundings=ROUNDINGS + 2 * 10, scale=scale)


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match=r"unknown activation 'gleu'; choose from elu, gelu, "):
        by_name("gleu")
