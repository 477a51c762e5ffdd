import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.articles import losses

LABELS = jnp.array([2, 0, 1, 1, 2])
TARGETS = jnp.array([[0.0], [1.0], [1.0], [0.0], [1.0]])
CASES = [
    ("sigmoid_squared_error", 1, TARGETS),
    ("softmax_squared_error", 3, LABELS),
    ("softmax_over_examples", 3, LABELS),
    ("unguarded_cross_entropy", 3, LABELS),
]


@pytest.mark.parametrize(("name", "classes", "targets"), CASES)
def test_the_slope_is_the_derivative(name, classes, targets):
    loss, slope = getattr(losses, name), getattr(losses, f"{name}_slope")
    with jax.enable_x64(True):
        logits = jnp.asarray(np.random.default_rng(0).standard_normal((5, classes)))
        want = jax.grad(loss)(logits, targets)
        np.testing.assert_allclose(slope(logits, targets), want, rtol=0, atol=1e-14)
        assert float(jnp.abs(want).max()) > 1e-3


def test_where_log_meets_zero_the_formula_is_finite_and_jax_grad_is_not():
    logits, label = jnp.array([[-60.0, 60.0]]), jnp.array([0])
    assert losses.unguarded_cross_entropy(logits, label) == np.inf
    assert np.isnan(jax.grad(losses.unguarded_cross_entropy)(logits, label)).any()
    np.testing.assert_array_equal(losses.unguarded_cross_entropy_slope(logits, label), [[-1, 1]])
