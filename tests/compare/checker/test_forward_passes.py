"""Two forward passes that differ: said as such, with the line where they part."""

import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker import check_gradients
from compare.checker.reporting.verdicts import ANOTHER_LOSS

rng = np.random.default_rng(0)
PARAMS = {"w": rng.standard_normal((3, 4)), "b": rng.standard_normal(4)}
X, Y = rng.standard_normal((5, 3)), rng.standard_normal((5, 4))


def loss(params, x, y):
    z = x @ params["w"] + params["b"]
    return jnp.mean((jnp.tanh(z) - y) ** 2)


def candidate(np, params, x, y, *, error=0.0):
    """A whole other model: its bias is subtracted; `error` spoils the gradient of that too."""
    z = x @ params["w"] - params["b"]
    a = np.tanh(z)
    d = 2 * (a - y) / y.size * (1 - a * a)
    return np.mean((a - y) ** 2), {"w": x.T @ d, "b": -np.sum(d, axis=0) + error}


@pytest.mark.parametrize("jit", [True, False])
def test_the_gradient_of_another_loss(jit):
    xp = jnp if jit else np
    report = check_gradients(lambda *a: candidate(xp, *a), loss, PARAMS, X, Y, jit=jit)
    assert report.verdict == "loss_differs"
    *_, own, parting = report.details
    assert own == "manual's gradient is that of its own loss, to rounding"
    assert '`z = x @ params["w"] - params["b"]`; in the loss at' in parting
    assert '`z = x @ params["w"] + params["b"]`: ' in parting


@pytest.mark.parametrize("jit", [True, False])
def test_a_gradient_that_is_not_even_that_of_its_own_loss(jit):
    xp = jnp if jit else np
    report = check_gradients(
        lambda *a: candidate(xp, *a, error=1e-4), loss, PARAMS, X, Y, jit=jit
    )  # fmt: skip
    assert report.verdict == "manual_wrong"
    assert report.details[0] == ANOTHER_LOSS
    told = " ".join(str(report).split("\n\n")[0].split())
    assert told.endswith(ANOTHER_LOSS), "before all numbers"
    assert str(report).count("The forward passes differ as well") == 1


def test_a_numpy_side_whose_value_is_no_function_of_the_parameters():
    """Its numerical derivatives are 0, and so is its gradient: it is right for its own loss."""

    def constant(params, x, y):
        return 1.0, {path: np.zeros_like(leaf) for path, leaf in params.items()}

    assert check_gradients(constant, loss, PARAMS, X, Y, jit=False).verdict == "loss_differs"
