import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual.rules import _sigmoids
from manual.rules._sigmoids import sigmoid_of, sigmoids


@pytest.mark.parametrize("form", [sigmoids, _sigmoids._by_product, _sigmoids._by_the_smaller])
def test_both_keep_their_digits(form):
    x = jnp.concatenate([jnp.linspace(-80, 80, 2001), jnp.array([-0.0, 0.0])])
    wide = np.asarray(x, np.float64)
    exact = 1 / (1 + np.exp(-wide)), 1 / (1 + np.exp(wide))
    for got, want in zip(form(x, x >= 0), (*exact, exact[0] * exact[1]), strict=True):
        np.testing.assert_allclose(got, want, rtol=4e-7)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_the_ends(dtype):
    with jax.enable_x64(dtype == "float64"):
        x = jnp.array(
            [-np.inf, float(jnp.finfo(dtype).min), -0.0, 0.0, 3e38, np.inf, np.nan], dtype
        )
        gate, rest, slope = sigmoids(x, x >= 0)
        for got, want in (
            (sigmoid_of(x, x >= 0), [0, 0, 0.5, 0.5, 1, 1, np.nan]),
            (gate, [0, 0, 0.5, 0.5, 1, 1, np.nan]),
            (rest, [1, 1, 0.5, 0.5, 0, 0, np.nan]),
            (slope, [0, 0, 0.25, 0.25, 0, 0, np.nan]),
        ):
            assert got.dtype == dtype
            np.testing.assert_array_equal(np.asarray(got, np.float64), want)


@pytest.mark.parametrize("x", [-2.0, -0.0, 0.0, 2.0])
def test_the_derivative_is_that_of_the_logistic_function(x):
    gate, rest, slope = jax.jacobian(lambda x: sigmoids(x, x >= 0))(x)
    want = np.exp(-x) / (1 + np.exp(-x)) ** 2
    assert float(jax.grad(lambda x: sigmoid_of(x, x >= 0))(x)) == pytest.approx(want, rel=1e-6)
    assert float(gate) == pytest.approx(want, rel=1e-6)
    assert float(rest) == pytest.approx(-want, rel=1e-6)
    assert float(slope) == pytest.approx(-want * np.tanh(x / 2), rel=1e-6)
