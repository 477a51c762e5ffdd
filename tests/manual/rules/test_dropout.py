import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules.dropout import dropout, dropout_bwd, dropout_fwd

KEY = jax.random.key(7)


def reference(key, x, *, rate):
    """As flax writes it, with a mask that jax_enable_x64 does not change."""
    keep = 1 - rate
    mask = jax.random.bernoulli(key, p=jnp.float32(keep), shape=x.shape)
    return jax.lax.select(mask, x / keep, jnp.zeros_like(x))


def draw(shape, dtype="float32"):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pair_is_the_vjp_of_the_reference(dtype):
    pair = (functools.partial(f, rate=0.3) for f in (dropout_fwd, dropout_bwd))
    wanted = functools.partial(reference, rate=0.3)
    report = check_rule(*pair, KEY, draw((5, 7)), reference=wanted, dtype=dtype)
    assert report.agree, report


def test_the_gradient_passes_where_the_value_passed():
    x = jnp.ones((40, 25))
    y, vjp = jax.vjp(lambda x: dropout(KEY, x, rate=0.5), x)
    dy = draw(x.shape)
    assert set(np.unique(y).tolist()) == {0, 2}
    np.testing.assert_array_equal(vjp(dy)[0], y * dy)


def test_the_share_that_is_dropped_is_the_rate():
    n, rate = 10_000, 0.2
    dropped = int(jnp.sum(dropout(KEY, jnp.ones(n), rate=rate) == 0))
    # Six standard deviations of the binomial distribution.
    assert abs(dropped - n * rate) <= 6 * np.sqrt(n * rate * (1 - rate))


def test_what_was_dropped_drops_nan_and_infinity_of_the_gradient():
    x = jnp.ones(64)
    y, vjp = jax.vjp(lambda x: dropout(KEY, x, rate=0.5), x)
    (dx,) = vjp(jnp.full_like(y, jnp.nan))
    np.testing.assert_array_equal(np.isnan(dx), y != 0)


def test_a_rate_of_zero_changes_nothing():
    x = draw((3, 4))
    y, vjp = jax.vjp(lambda x: dropout(KEY, x, rate=0.0), x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(vjp(2 * x)[0], 2 * x)
    assert "random" not in str(jax.make_jaxpr(lambda x: dropout(KEY, x, rate=0.0))(x))


def test_under_jit_grad_and_vmap_with_a_key_for_each_example():
    keys, xs = jax.random.split(KEY, 3), draw((3, 8))

    def own(f):
        per_example = jax.grad(lambda key, x: jnp.sum(f(key, x, rate=0.5) ** 2), argnums=1)
        return jax.jit(jax.vmap(per_example))(keys, xs)

    # 1/(1 − 0.5) = 2: every product is exact but the square's, the same on both sides.
    np.testing.assert_array_equal(own(dropout), own(reference))


def test_a_key_among_the_differentiated_inputs_has_no_gradient():
    x = draw((4,))
    _, vjp = jax.vjp(functools.partial(dropout, rate=0.5), KEY, x)
    dkey, dx = vjp(jnp.ones(4))
    assert dkey.dtype == jax.dtypes.float0
    assert dx.shape == x.shape


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_other_rates_are_refused(rate):
    with pytest.raises(ValueError, match=r"dropout's rate must be in \[0, 1\), got "):
        dropout(KEY, jnp.ones(3), rate=rate)


def test_an_old_key_draws_the_same_mask():
    x = draw((3, 8))
    old = jax.random.PRNGKey(7)
    np.testing.assert_array_equal(
        dropout(old, x, rate=0.5), dropout(jax.random.key(7), x, rate=0.5)
    )
    np.testing.assert_array_equal(dropout(old, x, rate=0.5), reference(old, x, rate=0.5))
    dx = jax.grad(lambda x: dropout(old, x, rate=0.5).sum())(x)
    np.testing.assert_array_equal(dx, reference(old, jnp.ones_like(x), rate=0.5))


@pytest.mark.parametrize(
    "key",
    [jax.random.split(KEY), jnp.uint32(3), jnp.ones(2), jax.random.split(jax.random.PRNGKey(0))],
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match=r"must be one key of jax\.random\.key or .*, got "):
        dropout(key, jnp.ones(3), rate=0.5)
