# pyright: strict, reportUnknownMemberType=false
"""What a type checker knows of the project's functions; the gate runs one over this file.

It is strict about all but members of modules, as `jnp.ones` has parts that JAX gives no type.
"""

from typing import Any, Literal, assert_type

import jax
import jax.numpy as jnp
import pytest

from compare import GradientReport, check_function, check_gradients, check_rule
from compare.checker.reporting.verdicts import Verdict
from manual.cnn import loss_and_grad as cnn_loss_and_grad
from manual.mlp import init, loss_and_grad, predict
from manual.recurrent import loss_and_grad as recurrent_loss_and_grad
from manual.regularised_mlp import loss_and_grad as regularised_loss_and_grad
from manual.rules import dense, gelu, leaky_relu, max_pool
from manual.rules.rule import Rule
from manual.transformer import loss_and_grad as transformer_loss_and_grad

Params = list[dict[str, jax.Array]]


def test_a_rule_has_the_signature_of_its_forward_pass():
    x, w, b = jnp.ones((2, 3)), jnp.ones((3, 4)), jnp.zeros(4)
    y = dense(x, w, b)
    assert_type(y, jax.Array)
    assert_type(gelu(leaky_relu(y, negative_slope=0.1)), jax.Array)
    assert_type(dense.fwd(x, w, b), tuple[jax.Array, Any])
    assert_type(max_pool.bind(window=(3, 3)), Rule[..., jax.Array])
    with pytest.raises(TypeError):
        dense(x, w, b, stride=2)  # pyright: ignore[reportCallIssue]


def square_fwd(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array]]:
    return x**2, (x,)


def square_bwd(residuals: tuple[jax.Array], dy: jax.Array) -> tuple[jax.Array]:
    (x,) = residuals
    return (2 * x * dy,)


def test_a_rule_of_ones_own_has_its_signature_too():
    square = Rule(square_fwd, square_bwd)
    assert_type(square(jnp.ones(2)), jax.Array)
    with pytest.raises(TypeError):
        square()  # pyright: ignore[reportCallIssue]


def test_a_model_has_types_without_gaps():
    params = init(jax.random.key(0), (3, 2))
    assert_type(params, Params)
    assert_type(predict(params, jnp.ones((4, 3))), jax.Array)
    batch = (jnp.ones((4, 3)), jnp.array([0, 1, 1, 0]))
    assert_type(loss_and_grad(params, batch, activation=gelu), tuple[jax.Array, Params])
    models = cnn_loss_and_grad, recurrent_loss_and_grad
    assert all(map(callable, (*models, regularised_loss_and_grad, transformer_loss_and_grad)))


def loss(w: jax.Array) -> jax.Array:
    return jnp.sum(w**2)


def manual(w: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.sum(w**2), 2 * w


def test_a_verdict_is_one_of_a_few_words():
    report = check_gradients(manual, loss, jnp.ones(2))
    assert_type(report, GradientReport)
    assert_type(report.verdict, Verdict)
    known: Literal["agree"] = "agree"
    assert report.verdict == known
    assert all(callable(check) for check in (check_rule, check_function))
