"""One pair of a rule by itself: under random cotangents, against `jax.vjp`."""

import functools

import jax
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
    for further in (jnp.ones(2), None):
        report = check_rule(dense_fwd, lambda res, d, f=further: (*dense_bwd(res, d), f), x, w, b)
        assert report.verdict == "structure_mismatch"


def test_an_input_that_is_given_by_keyword_may_have_its_none():
    def fwd(x, power):
        return x**power, (x, power)

    def bwd(residuals, dy):
        x, power = residuals
        return power * x ** (power - 1) * dy, None

    assert check_rule(fwd, bwd, jnp.ones(3), power=3).agree
    assert check_rule(fwd, bwd, jnp.ones(3), 3).agree


def test_an_input_that_is_left_out_may_have_its_none():
    x, w = jnp.ones((5, 3)), jnp.ones((3, 2))
    assert check_rule(
        lambda x, w, b=None: (x @ w, (x, w)),
        lambda res, dy: (dy @ res[1].T, res[0].T @ dy, None),
        x,
        w,
    ).agree


def test_integer_inputs_have_no_cotangent():
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    labels = np.asarray([0, 1, 1, 3, 2])
    assert check_rule(cross_entropy_fwd, cross_entropy_bwd, logits, labels).agree


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 2))
def scaled_tanh(name, x, count, y, scale=2.0):
    return {"out": count * jnp.tanh(x) * y * scale}


def scaled_tanh_fwd(name, x, count, y, scale):
    t = jnp.tanh(x)
    return {"out": count * t * y * scale}, (t, y, scale)


def scaled_tanh_bwd(name, count, residuals, d):
    t, y, scale = residuals
    d = count * d["out"]
    slope = 1 - t  # the square is forgotten
    return d * y * scale * slope, d * t * scale, None


scaled_tanh.defvjp(scaled_tanh_fwd, scaled_tanh_bwd)


def test_a_decorated_rule_has_the_lines_of_its_halves():
    """With what is no array: first for bwd, and no cotangent of it is given back."""
    x, y = jnp.asarray([0.3, -1.2, 0.7]), jnp.asarray([1.1, 0.4, -0.6])
    report = check_rule(scaled_tanh, "a name", x, 3, y, scale=1.5)
    assert [leaf.path for leaf in report.leaves if not leaf.agrees] == ["x"]
    assert report.diagnosis is not None
    line = scaled_tanh_bwd.__code__.co_firstlineno + 3
    assert report.diagnosis.suspects[0] == f"{__file__}:{line}"
    assert "▸" in str(report)


def test_a_decorated_rule_that_gives_back_its_cotangent_is_watched():
    @jax.custom_vjp
    def f(x):
        return jnp.tanh(x)

    f.defvjp(lambda x: (jnp.tanh(x), None), lambda _, g: (g,))
    report = check_rule(f, jnp.asarray([0.3, -1.2, 0.7]))
    assert report.diagnosis is not None
    assert "could not be watched" not in report.diagnosis.evidence
