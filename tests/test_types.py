"""What a type checker knows of the project's functions; the gate runs one over this file."""

from typing import Literal, assert_type

import jax
import jax.numpy as jnp
import pytest

from compare import check_gradients
from compare.checker.reporting.verdicts import Verdict
from manual.rules import dense, gelu, leaky_relu


def test_a_rule_has_the_signature_of_its_forward_pass():
    x, w, b = jnp.ones((2, 3)), jnp.ones((3, 4)), jnp.zeros(4)
    y = dense(x, w, b)
    assert_type(y, jax.Array)
    assert_type(gelu(leaky_relu(y, negative_slope=0.1)), jax.Array)
    with pytest.raises(TypeError):
        dense(x, w, b, stride=2)  # pyright: ignore[reportCallIssue]


def test_a_verdict_is_one_of_a_few_words():
    report = check_gradients(lambda w: (jnp.sum(w**2), 2 * w), lambda w: jnp.sum(w**2), jnp.ones(2))
    assert_type(report.verdict, Verdict)
    known: Literal["agree"] = "agree"
    assert report.verdict == known
