import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients, check_rule
from compare.checker.check import gradients_asked
from compare.checker.judge import judge
from compare.checker.rules import rule_asked


def loss(w, x):
    return jnp.sum(w * x)


def manual(w, x):
    return loss(w, x), x


def fwd(x, n):
    return x**2, (x,)


def bwd(residuals, d_out):
    return 2 * residuals[0] * d_out, None


W, X = jnp.arange(3.0), jnp.ones(3)


def test_the_point_is_what_both_sides_are_called_with():
    question = gradients_asked(manual, loss, W, X)
    arrays, layout = question.point
    np.testing.assert_array_equal(arrays, [W, X])
    for side in (question.manual, question.autodiff):
        value, grads = jax.jit(lambda arrays, side=side: side.eager(arrays, layout=layout))(arrays)
        assert value == 3
        np.testing.assert_array_equal(jax.tree.leaves(grads)[0], X)


@pytest.mark.parametrize("factor", [1, 2])
def test_the_judge_says_of_it_what_the_check_says(factor):
    def scaled(residuals, d_out):
        dx, none = bwd(residuals, d_out)
        return factor * dx, none

    question = rule_asked(fwd, scaled, X, 3, seed=4)
    report = judge(*question.sides, **question.settings, seed=4)
    expected = check_rule(fwd, scaled, X, 3, seed=4)
    assert (report.verdict, report.leaves) == (expected.verdict, expected.leaves)
    assert report.agree == (factor == 1)


def test_it_is_refused_as_the_check_refuses():
    for ask in (gradients_asked, check_gradients):
        with pytest.raises(ValueError, match="no parameter is a floating array"):
            ask(manual, loss, jnp.arange(3), X)
