import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import further
from compare import check_rule
from manual import rules

NAMES = ("hard_swish", "log_sigmoid", "mish", "selu", "softsign")
names = pytest.mark.parametrize("name", NAMES)


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.table
@names
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_the_vjp_of_jax_nn(name, dtype):
    rule = getattr(rules, name)
    x = jnp.asarray(3 * np.random.default_rng(0).standard_normal((5, 7)), jnp.float32)
    report = check_rule(rule.fwd, rule.bwd, x, reference=getattr(further, name), dtype=dtype)
    assert report.agree, report


@names
def test_numbers_of_every_size_stay_finite(name):
    rule = getattr(rules, name)
    largest = float(jnp.finfo(jnp.float32).max)
    x = jnp.array([-largest, -1e4, -90.0, -1e-30, 0.0, 1e-30, 90.0, 1e4, 1e30, largest / 2])
    y, dx = rule(x), jax.vmap(jax.grad(rule))(x)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()
    np.testing.assert_allclose(y, getattr(further, name)(x), rtol=1e-5, atol=1e-6)


@names
def test_nan_goes_in_and_comes_out(name):
    rule = getattr(rules, name)
    assert np.isnan(rule(jnp.nan))
    assert np.isnan(jax.grad(rule)(jnp.nan))


@pytest.mark.parametrize(
    ("name", "at", "slope"),
    [
        ("hard_swish", -3.0, 0.0),
        ("hard_swish", 3.0, 1.0),
        ("selu", 0.0, 1.0507009873554805 * 1.6732632423543772),
        ("softsign", 0.0, 1.0),
    ],
)
def test_the_derivative_at_a_kink(name, at, slope):
    np.testing.assert_allclose(jax.grad(getattr(rules, name))(at), slope, rtol=1e-6)
