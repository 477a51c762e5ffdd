import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules import glu


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.parametrize(("dtype", "shape"), [("float32", (5, 6)), ("bfloat16", (2, 3, 4))])
def test_it_is_the_vjp_of_jax_nn(dtype, shape):
    x = jnp.asarray(2 * np.random.default_rng(0).standard_normal(shape), jnp.float32)
    report = check_rule(glu.fwd, glu.bwd, x, reference=jax.nn.glu, dtype=dtype)
    assert report.agree, report


def test_an_open_gate_passes_everything_and_a_closed_one_nothing():
    x = jnp.array([3.0, 5.0, 200.0, -200.0])
    np.testing.assert_array_equal(glu(x), [3, 0])
    np.testing.assert_array_equal(jax.grad(lambda x: glu(x).sum())(x), [1, 0, 0, 0])


def test_a_last_axis_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match=r"must be even; got \(2, 3\)"):
        glu(jnp.ones((2, 3)))
