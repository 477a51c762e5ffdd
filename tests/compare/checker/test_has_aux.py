"""Sides that return more than the loss: what is beside it is compared, and named `aux/...`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import assert_gradients_agree, check_gradients

RNG = np.random.default_rng(0)
W, MEAN = (RNG.normal(size=s).astype(np.float32) for s in ((4, 3), (3,)))
X = RNG.normal(size=(5, 4)).astype(np.float32)
POINT = W, {"mean": MEAN}, X


def loss(w, state, x):
    """The state is a running mean, a count and, beside the arrays, a name."""
    z = x @ w
    mean = 0.9 * state["mean"] + 0.1 * z.mean(axis=0)
    return (z**2).mean(), {"mean": mean, "seen": {"rows": jnp.asarray(len(x))}}


def right(w, state, x):
    z = x @ w
    mean = 0.9 * state["mean"] + 0.1 * (jnp.ones(len(x)) / len(x)) @ z
    aux = {"mean": mean, "seen": {"rows": jnp.asarray(len(x))}}
    return ((z**2).mean(), aux), 2 * x.T @ z / z.size


def with_aux(change):
    """The right side, its aux changed."""

    def candidate(*point):
        (value, aux), grads = right(*point)
        return (value, change(aux)), grads

    return candidate


def check(candidate, of=loss, **settings):
    return check_gradients(candidate, of, *POINT, has_aux=True, **settings)


@pytest.mark.parametrize(
    "settings", [{}, {"dtype": "float64"}, {"dtype": "bfloat16"}, {"jit": False}], ids=str
)
def test_a_right_gradient_and_state_agree(settings):
    report = check(right, **settings)
    assert report.agree, report
    assert [leaf.path for leaf in report.leaves] == ["params"]
    assert report.loss.manual == pytest.approx(report.loss.reference, rel=0.02)


def test_value_and_grad_itself_is_a_candidate():
    assert_gradients_agree(jax.value_and_grad(loss, has_aux=True), loss, *POINT, has_aux=True)


@pytest.mark.parametrize("error", [1e-9, 0.1])
def test_a_wrong_leaf_of_aux_is_found_and_named(error):
    report = check(with_aux(lambda aux: aux | {"mean": aux["mean"].at[1].add(error)}))
    assert report.verdict == "loss_differs"
    assert all(leaf.agrees for leaf in report.leaves), "the gradient is right"
    assert report.details[0].startswith("aux/mean: manual has ")
    assert "at (1,)" in report.details[0]
    with pytest.raises(AssertionError, match="aux/mean: manual has"):
        assert_gradients_agree(
            with_aux(lambda aux: aux | {"mean": 2 * aux["mean"]}), loss, *POINT, has_aux=True
        )


def test_a_wrong_loss_beside_a_right_aux_is_found():
    def candidate(*point):
        (value, aux), grads = right(*point)
        return (value + 1e-9, aux), grads

    report = check(candidate)
    assert report.verdict == "loss_differs"
    assert report.details[0].startswith("loss: manual has ")


def test_arithmetic_of_aux_is_checked_in_the_dtype_asked_for():
    def rounded(aux):
        mantissa = 12 if aux["mean"].dtype == jnp.float32 else 52
        return aux | {"mean": jax.lax.reduce_precision(aux["mean"], 11, mantissa)}

    report = check(with_aux(rounded), dtype="float32")
    assert report.verdict == "manual_inaccurate"
    assert report.details[0].startswith("aux/mean: manual has ")
    assert check(with_aux(rounded), dtype="float64").agree


STRUCTURE = {
    "missing": (
        lambda aux: {"seen": aux["seen"]},
        "aux/mean: is missing from manual",
    ),
    "extra": (
        lambda aux: aux | {"var": aux["mean"]},
        "aux/var: is in manual and not in autodiff",
    ),
    "shape": (
        lambda aux: aux | {"mean": aux["mean"].mean()},
        "aux/mean: manual has shape (), autodiff has (3,)",
    ),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_comes_first(name):
    change, detail = STRUCTURE[name]
    report = check(with_aux(change))
    assert report.verdict == "structure_mismatch"
    assert detail in report.details


def test_what_is_no_floating_array_is_not_compared():
    other = {"rows": jnp.asarray(7), "name": "manual", "key": jax.random.key(0)}
    assert check(with_aux(lambda aux: aux | {"seen": other}), jit=False).agree


def test_nan_in_aux_on_both_sides_is_not_agreement():
    state = {"mean": np.asarray([0, np.nan, 0], np.float32)}
    report = check_gradients(right, loss, W, state, X, has_aux=True)
    assert report.verdict == "nonfinite"
    assert "aux/mean: manual has 1 of 3 entries not finite, the first at (1,): nan" in (
        report.details
    )


@pytest.mark.parametrize(
    "candidate",
    [
        lambda *point: (right(*point)[0][0], right(*point)[1]),
        lambda *point: right(*point)[0],
        lambda *point: right(*point)[1],
        lambda *point: (*right(*point)[0], right(*point)[1]),
    ],
    ids=["loss and gradient", "loss and aux", "gradient", "a triple"],
)
def test_another_return_is_refused_in_one_line(candidate):
    with pytest.raises(ValueError, match=r"must return \(\(loss, aux\), grads\)") as caught:
        check(candidate)
    assert "\n" not in str(caught.value)


def test_aux_is_not_expected_unasked():
    with pytest.raises((TypeError, ValueError)):
        check_gradients(right, loss, *POINT)
