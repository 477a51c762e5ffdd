import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import further
from compare import check_rule
from manual.rules import swiglu


@pytest.mark.parametrize(("dtype", "shape"), [("float32", (5, 6)), ("bfloat16", (2, 3, 4))])
def test_it_is_the_vjp_of_jax_nn(dtype, shape):
    x = jnp.asarray(2 * np.random.default_rng(0).standard_normal(shape), jnp.float32)
    report = check_rule(swiglu.fwd, swiglu.bwd, x, reference=further.swiglu, dtype=dtype)
    assert report.agree, report


def test_a_last_axis_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match=r"must be even; got \(2, 3\)"):
        swiglu(jnp.ones((2, 3)))
