"""Every method gives a value and an error bar that the right derivative is within."""

import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.numerical.complex_step import complex_step
from compare.checker.numerical.derivative import Derivative
from compare.checker.numerical.differences import (
    central_differences,
    confirmed_differences,
    eager_differences,
)
from tests.compare.checker.numerical.point import W, X


def cubic(leaves, constants):
    return jnp.sum(constants[0] @ leaves[0] ** 3)


@pytest.mark.parametrize(
    "method", [complex_step, central_differences, confirmed_differences, eager_differences]
)
def test_the_right_derivative_is_within_the_error_bar(method):
    derivative: Derivative = method(cubic)
    direction = {"w": np.random.default_rng(2).standard_normal((4, 3))}
    value, error = derivative(W, [X], direction)
    exact = float(np.sum(X @ (3 * W["w"] ** 2 * direction["w"])))
    assert abs(value - exact) <= error <= 1e-8
