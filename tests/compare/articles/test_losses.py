import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from compare.articles import losses
from compare.articles.descent import METHODS
from compare.articles.signals import drawn
from compare.problems import Rule, mlp

LABELS = jnp.array([2, 0, 1, 1, 2])
TARGETS = jnp.array([[0.0], [1.0], [1.0], [0.0], [1.0]])
CASES = [
    ("sigmoid_squared_error", 1, TARGETS),
    ("softmax_squared_error", 3, LABELS),
    ("softmax_over_examples", 3, LABELS),
    ("unguarded_cross_entropy", 3, LABELS),
]


@pytest.mark.parametrize(("name", "classes", "targets"), CASES)
def test_the_derivative_by_the_logits_is_right(name, classes, targets):
    loss = getattr(losses, name)
    logits = np.random.default_rng(0).standard_normal((5, classes))
    report = check_rule(loss.fwd, loss.bwd, logits, targets, dtype="float64")
    assert report.agree, report
    assert abs(report.leaves[0].reference) > 1e-3


def test_where_log_meets_zero_the_formula_is_finite_and_jax_grad_is_not():
    logits, label = jnp.array([[-60.0, 60.0]]), jnp.array([0])
    loss = losses.unguarded_cross_entropy
    assert loss(logits, label) == np.inf
    assert np.isnan(jax.grad(lambda z: loss.fwd(z, label)[0])(logits)).any()
    np.testing.assert_array_equal(jax.grad(loss)(logits, label), [[-1, 1]])


@pytest.mark.parametrize("wrong", [False, True])
def test_a_network_ends_in_the_derivative_it_is_given(wrong):
    right = losses.softmax_squared_error

    def twice(residuals, d_loss):
        return 2 * right.bwd(residuals, d_loss)[0], None

    loss = Rule(right.fwd, twice) if wrong else right
    model = mlp((4, 6, 3), "relu", loss)
    x = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
    args = drawn(0, (4, 6, 3), 2.0), (), (x, LABELS), jax.random.key(0)
    (manual_loss, _), manual = jax.jit(METHODS["manual"](model))(*args)
    (autodiff_loss, _), autodiff = jax.jit(METHODS["autodiff"](model))(*args)
    assert manual_loss == pytest.approx(autodiff_loss)
    close = [
        np.allclose(m, a, rtol=1e-5, atol=1e-7)
        for m, a in zip(jax.tree.leaves(manual), jax.tree.leaves(autodiff), strict=True)
    ]
    assert not any(close) if wrong else all(close)
