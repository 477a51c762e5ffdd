"""One pair of a rule by itself: under random cotangents, against `jax.vjp`."""

import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules import activations
from manual.rules.dense import dense_bwd, dense_fwd
from manual.rules.losses import softmax_cross_entropy_with_integer_labels_bwd as cross_entropy_bwd
from manual.rules.losses import softmax_cross_entropy_with_integer_labels_fwd as cross_entropy_fwd


def test_a_right_rule_agrees():
    x, w, b = (jnp.asarray(np.random.default_rng(0).normal(size=s)) for s in ((5, 3), (3, 2), (2,)))
    report = check_rule(dense_fwd, dense_bwd, x, w, b, reference=lambda x, w, b: x @ w + b)
    assert report.agree, report
    assert [leaf.path for leaf in report.leaves] == ["x", "w", "b"]


RULES = {
    "ignores d_out": (lambda res, d: (jnp.ones_like(res[0]),), ["x"]),
    "uses its first row for all": (lambda res, d: (d[0][None] * (1 - res[0] ** 2),), ["x"]),
    "is None for a floating input": (lambda res, d: (None,), ["x"]),
}


@pytest.mark.parametrize("name", RULES)
def test_wrong_rules_are_detected(name):
    bwd, paths = RULES[name]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    report = check_rule(activations.tanh_fwd, bwd, x)
    assert report.verdict == "manual_wrong"
    assert [leaf.path for leaf in report.leaves if not leaf.agrees] == paths


def product_fwd(z, w):
    return z * w, (z, w)


def test_complex_numbers_alone_are_judged_in_float64():
    z, w = (np.exp(1j * np.arange(1.0, 6) * k).astype(np.complex64) for k in (1, 3))
    right = check_rule(product_fwd, lambda res, d: (d * res[1], d * res[0]), z, w)
    assert right.agree, right
    assert (right.dtype, right.leaves[0].dtype) == ("complex64", "complex64")
    assert right.detectable < 1e-12
    wrong = check_rule(product_fwd, lambda res, d: (d * jnp.conj(res[1]), d * res[0]), z, w)
    assert [leaf.path for leaf in wrong.leaves if not leaf.agrees] == ["z"]
    assert not any("jax.grad is wrong" in line for line in wrong.details)


def test_complex_numbers_of_numpy_keep_their_precision_where_nothing_is_compiled():
    z, w = (np.exp(1j * np.arange(1.0, 6) * k) for k in (1, 3))
    report = check_rule(product_fwd, lambda res, d: (d * res[1], d * res[0]), z, w, jit=False)
    assert report.agree, report
    assert report.dtype == "complex128"


def test_a_wrong_forward_pass_is_detected():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    report = check_rule(activations.tanh_fwd, activations.tanh_bwd, x, reference=jnp.sin)
    assert report.verdict == "loss_differs"
    assert report.details[0].startswith("out: manual has")


def test_the_number_of_cotangents_is_checked():
    x, w, b = jnp.ones((5, 3)), jnp.ones((3, 2)), jnp.ones(2)
    report = check_rule(dense_fwd, lambda res, d: dense_bwd(res, d)[:2], x, w, b)
    assert report.verdict == "structure_mismatch"
    assert report.details == ("b: is missing from manual's gradient",)
    report = check_rule(dense_fwd, lambda res, d: (*dense_bwd(res, d), d), x, w, b)
    assert report.verdict == "structure_mismatch"


def test_integer_inputs_have_no_cotangent():
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    labels = np.asarray([0, 1, 1, 3, 2])
    assert check_rule(cross_entropy_fwd, cross_entropy_bwd, logits, labels).agree
