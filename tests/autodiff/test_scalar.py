import math

import jax
import pytest

from autodiff.scalar import Value


def derivative(f, x, h=1e-6):
    """A central difference, which knows nothing of the engine."""
    return (f(Value(x + h)).data - f(Value(x - h)).data) / (2 * h)


@pytest.mark.parametrize("x", [-1.7, 0.4, 2.3])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + 3.0, lambda x: 3.0 + x, lambda x: x + x, lambda x: 3.0 * x, lambda x: x * x,
        lambda x: -x, lambda x: 2.0 - x, lambda x: x - 2.0, lambda x: x - x * x, lambda x: x**3,
        lambda x: x / 4.0, lambda x: x / (x * x + 1.0), Value.exp, lambda x: (x * x).log(),
        Value.tanh, Value.sigmoid, Value.softplus, Value.relu, Value.leaky_relu,
        lambda x: (x.tanh() * x + x.exp()).sigmoid(),
    ],
)  # fmt: skip
def test_each_operation_against_differences(f, x):
    value = Value(x)
    f(value).backward()
    assert value.grad == pytest.approx(derivative(f, x), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("f", "slope"), [(Value.relu, 0.0), (Value.leaky_relu, 1.0)])
def test_at_the_kink_the_slope_is_that_of_jax_nn(f, slope):
    value = Value(0.0)
    f(value).backward()
    assert value.grad == slope
    assert jax.grad(getattr(jax.nn, f.__name__))(0.0) == slope


def test_a_value_that_is_used_twice_gets_both_contributions():
    x = Value(3.0)
    y = x * x
    (y + y * x).backward()
    assert (x.grad, y.grad) == (2 * 3 + 3 * 3**2, 1 + 3)


def test_backward_starts_anew():
    x = Value(3.0)
    y = x * x
    for _ in range(2):
        y.backward()
        assert x.grad == 6.0


def test_a_sum_of_many_terms_is_not_too_deep():
    x = Value(1.0)
    sum((x for _ in range(20_000)), Value(0.0)).backward()
    assert x.grad == 20_000


@pytest.mark.parametrize("x", [-800.0, 800.0])
def test_nothing_overflows(x):
    for f in (Value.sigmoid, Value.softplus, Value.tanh):
        value = Value(x)
        f(value).backward()
        assert math.isfinite(value.grad)


def test_the_logarithm_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"math domain error|positive"):
        Value(0.0).log()
