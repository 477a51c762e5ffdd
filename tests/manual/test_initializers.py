import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual.initializers import INITIALIZERS, by_name

SCHEMES = sorted(set(INITIALIZERS) - {"small_normal", "zeros"})

schemes = pytest.mark.parametrize("name", SCHEMES)


@pytest.mark.table
@schemes
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("float32", (7, 5)), ("float64", (7, 5)), ("bfloat16", (7, 5)), ("float32", (3, 2, 5, 4))],
)
def test_bit_for_bit_that_of_jax(name, dtype, shape):
    reference = getattr(jax.nn.initializers, name)()
    with jax.enable_x64(dtype == "float64"):
        got = INITIALIZERS[name](jax.random.key(3), shape, dtype)
        want = reference(jax.random.key(3), shape, dtype)
        assert got.dtype == want.dtype == dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_small_normal_is_bit_for_bit_that_of_jax(dtype):
    got = INITIALIZERS["small_normal"](jax.random.key(3), (7, 5), dtype)
    want = jax.nn.initializers.normal(0.01)(jax.random.key(3), (7, 5), dtype)
    assert got.dtype == want.dtype == dtype
    np.testing.assert_array_equal(got, want)


def test_zeros():
    w = INITIALIZERS["zeros"](jax.random.key(0), (3,), jnp.bfloat16)
    assert w.dtype == jnp.bfloat16
    np.testing.assert_array_equal(w, jnp.zeros(3))


@schemes
def test_the_default_dtype_is_float32(name):
    assert INITIALIZERS[name](jax.random.key(0), (2, 3)).dtype == jnp.float32


def test_he_has_the_variance_it_claims():
    w = np.asarray(INITIALIZERS["he_normal"](jax.random.key(1), (200, 300)), np.float64)
    # The variance of n draws has a standard deviation of at most √(2/n) of it; 6 of them.
    assert abs(w.var() * 200 / 2 - 1) < 6 * np.sqrt(2 / w.size)


@schemes
@pytest.mark.parametrize("shape", [(), (3,)])
def test_weights_need_two_axes(name, shape):
    with pytest.raises(ValueError, match=r"need at least the two axes \(n_in, n_out\), got shape"):
        INITIALIZERS[name](jax.random.key(0), shape)


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match=r"unknown initializer 'he'; choose from glorot_normal, "):
        by_name("he")
