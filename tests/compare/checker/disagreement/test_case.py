"""What is known of two gradients that differ."""

import jax
import numpy as np
import pytest

from tests.compare.checker.disagreement.made import PARAMS, W, X, disagreement, smooth


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


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
