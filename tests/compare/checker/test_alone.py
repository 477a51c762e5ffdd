"""The referee as the only judge: where jax cannot differentiate the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare import check_gradients, check_rule

X = np.asarray([0.7, 1.1, -0.4], np.float32)


def power_loop(x):
    """x⁵ by a loop without a reverse mode."""
    return lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] * x), (0, 1 + 0 * x))[1]


def loss(x):
    return power_loop(x).sum()


def candidate(change=lambda g: g):
    return lambda x: ((x**5).sum(), change(5 * x**4))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_while_loop_is_judged_by_its_values(dtype):
    report = check_gradients(candidate(), loss, X, dtype=dtype)
    assert report.agree, report
    assert report.detectable < 1e-8
    assert report.details[0].startswith("jax.grad cannot differentiate this loss (Reverse-mode")
    assert report.details[0].endswith("start/stop values): judged by the referee alone")
    assert not any("give one" in line for line in report.details)


WRONG = {
    "a factor": lambda g: 1.001 * g,
    "one entry": lambda g: g.at[1].add(1e-6),
    "a sign": lambda g: -g,
    "a zero": lambda g: 0 * g,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name):
    report = check_gradients(candidate(WRONG[name]), loss, X)
    assert report.verdict == "manual_wrong"
    assert not report.leaves[0].agrees
    assert report.details[-1].endswith("by a reference that jax.grad can differentiate: give one")


@pytest.mark.parametrize("size", [3, 100])
def test_what_is_approximate_is_judged_by_the_accuracy_asked_for(size):
    def approximate(x):
        return (x**5).sum(), 5 * x**4 * 1.0001

    x = np.linspace(0.5, 1.5, size)
    report = check_gradients(approximate, loss, x, accuracy=1.5e-4)
    assert report.agree
    told = "accuracy asked for: 0.00015 of a leaf's largest entry; found: "
    assert any(line.startswith(told) for line in report.details)
    assert report.detectable > 1e-4
    told = "right to that alone, accuracy=0.0001 accepts it"
    assert any(told in line for line in check_gradients(approximate, loss, x).details)
    for accuracy in (5e-5, {"params": 5e-5}, None):
        assert not check_gradients(approximate, loss, x, accuracy=accuracy).agree


def test_a_kernel_that_runs_in_float32_alone_and_has_no_derivative_needs_a_reference():
    def kernel(x):
        if x.dtype != jnp.float32:
            raise ValueError("expected float32")
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    x = np.asarray([0.3, -1.2], np.float32)
    told = (
        "the loss cannot be run in float64, and cannot be differentiated by jax: give a reference"
    )
    with pytest.raises(ValueError, match=told):
        check_rule(lambda x: (kernel(x), x), lambda x, dy: (dy * jnp.cos(x),), x)


def test_another_value_is_another_forward_pass():
    report = check_gradients(lambda x: (1 + (x**5).sum(), 5 * x**4), loss, X)
    assert report.verdict == "loss_differs"
    assert report.details[0].startswith("loss: manual has ")


def test_a_loop_that_depends_on_nothing_tests_nothing():
    report = check_gradients(lambda x: (0 * x.sum(), 0 * x), lambda x: loss(0 * x), X)
    assert report.verdict == "inconclusive"
    assert report.details[0].startswith("nothing was tested")


def test_of_many_entries_some_are_looked_at_and_all_of_them_along_directions():
    x = np.random.default_rng(0).uniform(0.5, 1, (20, 10)).astype(np.float32)
    assert check_gradients(candidate(), loss, x).agree
    report = check_gradients(candidate(lambda g: g.at[7, 3].add(0.01)), loss, x)
    assert report.verdict == "manual_wrong"
    assert report.leaves[0].shape == (20, 10)


def test_a_callback_is_judged_too():
    def sine(x):
        return jax.pure_callback(
            np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential"
        )

    right = check_rule(lambda x: (sine(x), x), lambda x, d: (d * jnp.cos(x),), X)
    assert right.agree, right
    wrong = check_rule(lambda x: (sine(x), x), lambda x, d: (d * jnp.cos(x) ** 2,), X)
    assert wrong.verdict == "manual_wrong"


def test_complex_numbers_are_held_to_jaxs_convention():
    z = np.asarray([0.5 + 1j, -0.3 + 0.2j], np.complex64)

    def of(z):
        turned = lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, s[1] * z), (0, 1 + 0 * z))[
            1
        ]
        return jnp.sum(jnp.real(turned))

    def by_hand(z):
        return jnp.sum(jnp.real(z**2)), 2 * z

    assert check_gradients(by_hand, of, z).agree
    conjugate = check_gradients(lambda z: (by_hand(z)[0], jnp.conj(2 * z)), of, z)
    assert conjugate.verdict == "manual_wrong"
