import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual.rules._blocks import in_blocks, in_halves


def double_and_sum(x, y):
    return 2 * x, (x.sum(axis=0), (x * y).sum())


def sum_only(x, y):
    return None, (x * y).sum(axis=0)


# A row of 8192 entries is a quarter of a block: none, one and two blocks, with and without a rest.
@pytest.mark.table
@pytest.mark.parametrize("f", [double_and_sum, sum_only])
@pytest.mark.parametrize("n", [0, 1, 4, 8, 11])
def test_blocks_make_what_the_whole_makes(f, n):
    rng = np.random.default_rng(0)
    # Small integers, whose sums are exact in any order.
    x, y = (jnp.asarray(a, jnp.float32) for a in rng.integers(-5, 5, (2, n, 8192)))
    got, want = jax.jit(lambda: (in_blocks(f, x, y), f(x, y)))()
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_a_block_is_what_fits_into_the_cache():
    x = jnp.ones((256, 4096))
    jaxpr = jax.make_jaxpr(lambda x: in_blocks(double_and_sum, x, x))(x)
    assert "f32[8,4096] = dynamic_slice" in str(jaxpr)


@pytest.mark.parametrize("n", [0, 1, 5, 6])
def test_halves_make_what_the_whole_makes(n):
    x = jnp.arange(n * 3.0).reshape(n, 3)

    def f(x):
        return x[:, 0] + 1, (2 * x, x[:0])

    got, want = jax.jit(lambda x: (in_halves(f, x), f(x)))(x)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    loops = str(jax.make_jaxpr(lambda x: in_halves(f, x))(x)).count("scan[")
    assert loops == (n % 2 == 0), "an even number of rows goes through a loop"
