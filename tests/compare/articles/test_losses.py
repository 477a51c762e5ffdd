import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.articles import losses
from compare.articles.descent import METHODS
from compare.articles.signals import drawn
from compare.problems.registry import mlp_with_loss

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


@pytest.mark.parametrize("wrong", [False, True])
def test_a_network_ends_in_the_slope_it_is_given(wrong):
    loss, slope = losses.softmax_squared_error, losses.softmax_squared_error_slope
    given = (lambda z, y: 2 * slope(z, y)) if wrong else slope
    model = mlp_with_loss((4, 6, 3), "relu", loss, given)
    x = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
    args = drawn(0, (4, 6, 3), 2.0), (), (x, LABELS), jax.random.key(0)
    (manual_loss, _), manual = METHODS["manual"](model)(*args)
    (autodiff_loss, _), autodiff = METHODS["autodiff"](model)(*args)
    assert manual_loss == pytest.approx(autodiff_loss)
    close = [
        np.allclose(m, a, rtol=1e-5, atol=1e-7)
        for m, a in zip(jax.tree.leaves(manual), jax.tree.leaves(autodiff), strict=True)
    ]
    assert not any(close) if wrong else all(close)
