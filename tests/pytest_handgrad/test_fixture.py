import jax.numpy as jnp
import pytest

from pytest_handgrad.fixture import GradientCheck

X = jnp.linspace(0.5, 1.5, 3)


def square_fwd(x):
    return x**2, (x,)


def square_bwd(residuals, dy):
    return (2 * residuals[0] * dy,)


def test_a_seed_is_the_parameter_or_one_of_the_name():
    assert GradientCheck.of_test("a.py::test", {"seed": 7}) == GradientCheck(7)
    named = [GradientCheck.of_test(name, {"seed": "x"}).seed for name in ("a", "a", "b")]
    assert named[0] == named[1] != named[2]


def test_the_fixture_has_the_seed_of_its_test(gradient_check, request):
    assert gradient_check == GradientCheck.of_test(request.node.nodeid, {})


def test_it_returns_the_report_or_fails(gradient_check):
    def loss_and_grad(x):
        return jnp.sum(x**2), 2 * x

    def loss(x):
        return jnp.sum(x**2)

    assert gradient_check(loss_and_grad, loss, X).agree
    assert gradient_check.rule(square_fwd, square_bwd, X).agree
    assert gradient_check.function(jnp.tanh, X, modes=("rev",)).agree
    with pytest.raises(AssertionError, match=r"^MANUAL WRONG in params, at .*: "):
        gradient_check(lambda x: (loss(x), x), loss, X)
