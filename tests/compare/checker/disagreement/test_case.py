"""What is known of two gradients that differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.compare.checker.disagreement.made import disagreement

W = np.asarray([[0.3, -1.2], [0.7, 0.4], [-0.5, 0.9]])
X = np.asarray([[1.1, -0.4, 0.6], [0.2, 1.3, -0.8], [-0.9, 0.5, 1.7], [0.4, -1.5, 0.3]])
PARAMS = {"w": W, "b": np.asarray([0.1, -0.2])}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def smooth(params, x):
    return jnp.sum(jnp.tanh(x @ params["w"] + params["b"]) ** 3)


def twice_of_one(params, x):
    value, grads = jax.value_and_grad(smooth)(params, x)
    return value, {**grads, "w": 2 * grads["w"]}


def test_what_a_disagreement_knows():
    case = disagreement(twice_of_one, smooth, PARAMS, X)
    assert case.wrong == ["w"]
    assert list(case.leaves) == list(case.manual_gradient) == ["b", "w"]
    assert np.array_equal(case.leaves["w"], W)
    (x,) = case.constants
    assert np.array_equal(x, X)
    assert np.allclose(case.manual_gradient["w"], 2 * case.autodiff_gradient["w"], rtol=1e-14)
    assert case.loss(list(case.leaves.values()), case.constants) == smooth(PARAMS, X)


def test_the_tolerance_grows_with_the_numbers_of_manual():
    case = disagreement(twice_of_one, smooth, PARAMS, X)
    tolerance = case.rows["grad", "w"].tolerance
    right = case.autodiff_gradient["w"]
    assert case.limit("w", 4 * right) == pytest.approx(4 * tolerance)
    assert case.limit("w", right / 4) == tolerance
