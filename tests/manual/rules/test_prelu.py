import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules import leaky_relu, prelu


def reference(x, slope):
    return jnp.where(x >= 0, x, slope * x)


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.parametrize(("dtype", "shape"), [("float32", (5, 3)), ("bfloat16", (2, 3, 4))])
def test_it_is_the_vjp_of_the_idiom(dtype, shape):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    slope = jnp.asarray(rng.standard_normal(shape[-1]), jnp.float32)
    report = check_rule(prelu.fwd, prelu.bwd, x, slope, reference=reference, dtype=dtype)
    assert report.agree, report


def test_with_one_slope_for_all_it_is_leaky_relu():
    x = jnp.array([[-2.0, 0.0, 3.0], [1.0, -1.0, -0.0]])
    slope = jnp.full(3, 0.25)
    np.testing.assert_array_equal(prelu(x, slope), leaky_relu(x, negative_slope=0.25))
    dx = jax.grad(lambda x: prelu(x, slope).sum())(x)
    want = jax.grad(lambda x: leaky_relu(x, negative_slope=0.25).sum())(x)
    np.testing.assert_array_equal(dx, want)


def test_the_kink_gives_dy_to_x_and_nothing_to_the_slope():
    dx, dslope = prelu.bwd((jnp.zeros((2, 1)), jnp.array([-3.0])), jnp.array([[5.0], [7.0]]))
    np.testing.assert_array_equal(dx, [[5], [7]])
    np.testing.assert_array_equal(dslope, [0])


def test_a_nan_is_passed_on():
    x = jnp.array([[jnp.nan, 1.0]])
    dx, dslope = prelu.bwd((x, jnp.array([0.5, 0.5])), jnp.ones((1, 2)))
    assert np.isnan(prelu(x, jnp.array([0.5, 0.5]))[0, 0])
    np.testing.assert_array_equal(np.isnan(dslope), [True, False])
    np.testing.assert_array_equal(dx, [[0.5, 1]])


def test_shapes_and_dtypes_that_do_not_fit_are_refused():
    with pytest.raises(AssertionError):
        prelu(jnp.ones((2, 3)), jnp.ones(2))
    with pytest.raises(AssertionError):
        prelu(jnp.ones((2, 3)), jnp.ones(3, "bfloat16"))
