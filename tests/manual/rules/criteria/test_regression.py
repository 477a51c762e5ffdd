import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import further
from compare import check_rule
from manual.rules import huber, mean_absolute_error


def draw():
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal((5, 3)), jnp.float32) for _ in range(2))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("delta", [0.4, 1.0])
def test_huber_is_the_vjp_of_optax(dtype, delta):
    rule = huber.bind(delta=delta)
    report = check_rule(
        rule.fwd,
        rule.bwd,
        *draw(),
        dtype=dtype,
        reference=lambda p, y: further.huber(p, y, delta=delta),
    )
    assert report.agree, report


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_mean_absolute_error_is_the_vjp_of_its_idiom(dtype):
    rule = mean_absolute_error
    report = check_rule(
        rule.fwd, rule.bwd, *draw(), dtype=dtype, reference=further.mean_absolute_error
    )
    assert report.agree, report


def test_the_derivative_at_a_kink_and_at_a_seam():
    zero = jnp.zeros(2)
    np.testing.assert_array_equal(jax.grad(mean_absolute_error)(zero, zero), zero)
    seam = jax.grad(huber)(jnp.array([1.0, -1.0]), zero)
    np.testing.assert_array_equal(seam, [0.5, -0.5])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="delta must be positive, got 0"):
        huber(jnp.ones(2), jnp.ones(2), delta=0)
    for loss in (huber, mean_absolute_error):
        with pytest.raises(AssertionError):
            loss(jnp.ones((2, 1)), jnp.ones(2))
        with pytest.raises(AssertionError):
            loss(jnp.ones(2), jnp.ones(2, "bfloat16"))
