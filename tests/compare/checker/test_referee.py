import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker import referee
from compare.checker.referee import rule

RNG = np.random.default_rng(0)
W = {"w": RNG.standard_normal((4, 3))}
X = RNG.standard_normal((6, 4))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def smooth(leaves, constants):
    return jnp.sum(jnp.tanh(constants[0] @ leaves[0]) ** 2)


def kinked(leaves, constants):
    return jnp.sum(jax.nn.relu(constants[0] @ leaves[0]) ** 2)


def gradient(loss):
    return {"w": np.asarray(jax.grad(loss)([W["w"]], [X])[0])}


def ruling(loss, manual, autodiff):
    return rule(loss, W, [X], manual, autodiff, ["w"], seed=0)


@pytest.mark.parametrize(
    ("loss", "method", "accuracy"),
    [(smooth, "complex step", 1e-15), (kinked, "central differences", 1e-9)],
)
def test_the_referee_is_right_within_its_error_bar(loss, method, accuracy):
    right = gradient(loss)
    wrong = {"w": right["w"] * (1 + 1e-6)}
    ruled = ruling(loss, wrong, right)
    assert ruled.method == method
    for opinion in ruled.opinions:
        assert abs(opinion.referee - opinion.autodiff) <= opinion.error
        assert abs(opinion.referee - opinion.autodiff) <= accuracy * 10
        assert opinion.error <= max(accuracy, 1e-11)


@pytest.mark.parametrize("loss", [smooth, kinked])
def test_it_decides_who_is_wrong(loss):
    right = gradient(loss)
    wrong = {"w": right["w"].copy()}
    wrong["w"][2, 1] += 1e-6
    assert ruling(loss, wrong, right).verdict == "manual_wrong"
    assert ruling(loss, right, wrong).verdict == "autodiff_wrong"
    assert ruling(loss, wrong, {"w": 2 * right["w"]}).verdict == "both"
    assert ruling(loss, right, right).verdict == "inconclusive"


def test_nan_is_refuted():
    right = gradient(kinked)
    assert ruling(kinked, {"w": right["w"] * np.nan}, right).verdict == "manual_wrong"


def test_it_never_asks_a_derivative_rule():
    @jax.custom_vjp
    def f(x):
        return x**2

    f.defvjp(lambda x: (x**2, x), lambda x, dy: (jnp.full_like(x, jnp.nan),))

    def loss(leaves, constants):
        return jnp.sum(f(constants[0] @ leaves[0]))

    right = {"w": 2 * X.T @ (X @ W["w"])}
    assert rule(loss, W, [X], right, {"w": 0 * right["w"]}, ["w"], 0).verdict == "autodiff_wrong"


def test_a_kink_within_the_step_widens_the_error_bar():
    def loss(leaves, constants):
        return jnp.sum(jnp.abs(leaves[0]))

    w = {"w": np.asarray([1e-3, 1.0])}
    ruled = rule(loss, w, [], {"w": np.ones(2)}, {"w": np.ones(2)}, ["w"], seed=0)
    assert ruled.verdict == "inconclusive"


@pytest.mark.parametrize(("share", "random_first"), [(0.5, True), (1e-6, False)])
def test_of_many_entries_two_random_directions_prove_what_is_far_off(
    share, random_first, monkeypatch
):
    right = gradient(kinked)
    wrong = {"w": right["w"] * (1 + share)}
    monkeypatch.setattr(referee, "LONG_RUN", W["w"].size - 1)
    ruled = ruling(kinked, wrong, right)
    worst = np.max(np.abs(right["w"]))
    along_worst = [math.isclose(abs(o.autodiff), worst) for o in ruled.opinions]
    assert along_worst[:2] == [not random_first, False]
    assert (len(ruled.opinions) == 2) == random_first
    assert ruled.verdict == "manual_wrong"
    assert ruling(kinked, right, wrong).verdict == "autodiff_wrong"
    assert ruling(kinked, wrong, {"w": 2 * right["w"]}).verdict == "both"
