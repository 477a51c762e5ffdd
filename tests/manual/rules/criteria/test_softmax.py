import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import further
from compare import check_rule
from manual import rules

names = pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.table
@names
@pytest.mark.parametrize(
    ("dtype", "shape", "axis"),
    [("float32", (5, 7), -1), ("bfloat16", (2, 3, 4), 1), ("float32", (3, 1), -1)],
)
def test_it_is_the_vjp_of_jax_nn(name, dtype, shape, axis):
    rule = getattr(rules, name).bind(axis=axis)
    x = jnp.asarray(2 * np.random.default_rng(0).standard_normal(shape), jnp.float32)
    reference = functools.partial(getattr(further, name), axis=axis)
    report = check_rule(rule.fwd, rule.bwd, x, reference=reference, dtype=dtype)
    # Over one class a softmax is 1 and its logarithm 0: both gradients are 0.
    constant = shape[axis] == 1 and name != "logsumexp"
    assert report.verdict == ("inconclusive" if constant else "agree"), report
    assert report.worst is not None
    assert report.worst.agrees


@names
def test_huge_numbers_and_minus_infinity(name):
    rule, x = getattr(rules, name), jnp.array([[1e30, -1e30, 1e30], [0.0, -jnp.inf, 0.0]])
    np.testing.assert_allclose(rule(x), getattr(further, name)(x), rtol=1e-6)
    dx = jax.grad(lambda x: rule(x)[..., 0].sum())(x)
    assert np.isfinite(dx).all()


def test_equal_numbers_share_equally():
    x = jnp.full((1, 4), 3.0)
    np.testing.assert_array_equal(rules.softmax(x), jnp.full((1, 4), 0.25))
    dx = jax.grad(lambda x: rules.logsumexp(x).sum())(x)
    np.testing.assert_allclose(dx, jnp.full((1, 4), 0.25), rtol=1e-6)


@pytest.mark.parametrize("row", [[-np.inf, -np.inf], [np.inf, 1.0], [-np.inf, 2.0], [np.nan, 1.0]])
def test_the_logsumexp_of_infinities_is_that_of_jax(row):
    x = jnp.array(row)
    np.testing.assert_array_equal(rules.logsumexp(x), jax.nn.logsumexp(x))
    found, expected = jax.grad(rules.logsumexp)(x), jax.grad(jax.nn.logsumexp)(x)
    np.testing.assert_array_equal(found, expected)
