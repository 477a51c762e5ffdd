import functools
import logging

import jax
import jax.numpy as jnp
import pytest

from compare.checker.check import check_gradients
from compare.checker.functions import check_function
from compare.checker.reporting.logged import Check
from compare.checker.rules import check_rule

X = jnp.linspace(0.5, 1.5, 3)


def square_fwd(x):
    """y = x²."""
    return x**2, (x,)


def square_bwd(residuals, dy):
    """dx = 2 x dy."""
    (x,) = residuals
    return (2 * x * dy,)


@jax.custom_vjp
def square(x):
    return x**2


square.defvjp(square_fwd, square_bwd)


def loss(x):
    return jnp.sum(x**2)


def loss_and_grad(x):
    """dx = 2 x."""
    return loss(x), 2 * x


@pytest.fixture
def checks(caplog):
    with caplog.at_level(logging.DEBUG, logger="handgrad.checks"):
        yield lambda: [record.check for record in caplog.records if hasattr(record, "check")]


def test_each_kind_of_check_is_noted_with_its_seed_and_its_time(checks, caplog):
    check_gradients(loss_and_grad, loss, X, seed=3)
    check_rule(square_fwd, square_bwd, X)
    check_rule(square, X)
    check_function(jnp.tanh, X, modes=("rev",))
    found = checks()
    assert all(isinstance(check, Check) for check in found)
    assert [check.seed for check in found] == [3, 0, 0, 0]
    assert all(check.seconds > 0 for check in found)
    names = [check.report.name for check in found]
    assert names == ["loss_and_grad", "square", "square", "tanh"]
    assert caplog.records[-1].message.startswith("tanh: AGREE, in ")


def test_docstrings_are_the_derivation():
    wanted = {"rule": "square", "about": "", "fwd": "y = x².", "bwd": "dx = 2 x dy."}
    for report in (check_rule(square_fwd, square_bwd, X), check_rule(square, X)):
        assert report.derivations == (wanted,)
    (of_loss,) = check_gradients(loss_and_grad, loss, X).derivations
    assert (of_loss["fwd"], of_loss["bwd"]) == ("", "dx = 2 x.")


def test_arguments_by_keyword_and_functions_without_a_name():
    candidate = functools.partial(lambda factor, x: (loss(x), factor * x), 2.0)
    report = check_gradients(loss=loss, candidate=candidate, params=X)
    assert (report.name, report.derivations) == ("lambda", ())


def test_a_check_that_cannot_be_made_is_not_noted(checks):
    with pytest.raises(TypeError, match="loss must be a function"):
        check_gradients(loss_and_grad, 3, X)  # pyright: ignore[reportArgumentType]
    assert checks() == []
