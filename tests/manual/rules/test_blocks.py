import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual.rules._blocks import in_blocks


def double_and_sum(x, y):
    return {"double": 2 * x}, (x.sum(axis=0), (x * y).sum())


# A row of 8192 entries is a quarter of a block: none, one and two blocks, with and without a rest.
@pytest.mark.parametrize("n", [0, 1, 4, 8, 11])
def test_blocks_make_what_the_whole_makes(n):
    rng = np.random.default_rng(0)
    # Small integers, whose sums are exact in any order.
    x, y = (jnp.asarray(a, jnp.float32) for a in rng.integers(-5, 5, (2, n, 8192)))
    got, want = jax.jit(lambda: (in_blocks(double_and_sum, x, y), double_and_sum(x, y)))()
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_a_block_holds_no_more_than_its_share():
    x = jnp.ones((64, 4096))
    shapes = [v.aval for v in _scan(x).params["jaxpr"].jaxpr.outvars]
    assert (8, 4096) in [aval.shape for aval in shapes]


def _scan(x):
    jaxpr = jax.make_jaxpr(lambda x: in_blocks(double_and_sum, x, x))(x)
    return next(eqn for eqn in jaxpr.eqns if eqn.primitive.name == "scan")
