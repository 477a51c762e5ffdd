"""After a disagreement: each outcome, on small disagreements that are made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.investigation import investigate, overruled
from tests.compare.checker.disagreement.made import PARAMS, W, X, disagreement, smooth


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def smooth_by_hand(params, x):
    y = jnp.tanh(x @ params["w"] + params["b"])
    dz = 3 * y**2 * (1 - y**2)
    return jnp.sum(y**3), {"w": x.T @ dz, "b": dz.sum(axis=0)}


def without_derivative_of_tanh(params, x):
    y = jnp.tanh(x @ params["w"] + params["b"])
    return jnp.sum(y**3), {"w": x.T @ (3 * y**2), "b": (3 * y**2).sum(axis=0)}


def test_a_mistake_is_named_and_the_referee_quoted():
    outcome = investigate(disagreement(without_derivative_of_tanh, smooth, PARAMS, X))
    assert outcome.verdict == "manual_wrong"
    assert len(outcome.details) == 1
    assert outcome.details[0].startswith("the referee (complex step, 2 directions) finds ")
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.bug == "missing_activation_derivative"
    assert outcome.diagnosis.confirmed


def test_a_wrong_value_alone_needs_no_investigation():
    def candidate(params, x):
        value, grads = smooth_by_hand(params, x)
        return value + 1, grads

    outcome = investigate(disagreement(candidate, smooth, PARAMS, X))
    assert outcome == ("manual_wrong", [], None)


@jax.custom_vjp
def cube(y):
    return y**3


cube.defvjp(lambda y: (y**3, y), lambda y, d: (2 * y**2 * d,))  # The 3 became a 2.


def with_a_wrong_rule(params, x):
    return jnp.sum(cube(jnp.tanh(x @ params["w"] + params["b"])))


def test_a_wrong_rule_in_the_loss_is_autodiffs_fault():
    outcome = investigate(disagreement(smooth_by_hand, with_a_wrong_rule, PARAMS, X))
    assert outcome.verdict == "autodiff_wrong"
    assert outcome.details[0].startswith("the referee (")
    assert outcome.diagnosis is None


def test_both_wrong_is_told_and_manual_is_named():
    outcome = investigate(disagreement(without_derivative_of_tanh, with_a_wrong_rule, PARAMS, X))
    assert outcome.verdict == "manual_wrong"
    assert outcome.details[0].startswith("jax.grad is wrong as well: the referee (")
    assert outcome.diagnosis is not None


def with_a_target(params, x):
    y = jnp.tanh(x @ params["w"] + params["b"])
    return jnp.sum((y - jax.lax.stop_gradient(y.sum(axis=1, keepdims=True))) ** 3)


@pytest.mark.parametrize("all_of_it", [True, False])
def test_what_the_loss_holds_has_no_derivative(all_of_it):
    def candidate(params, x):
        y = jnp.tanh(x @ params["w"] + params["b"])
        e = y - y.sum(axis=1, keepdims=True)
        dy = 3 * e**2
        dy = dy - dy.sum(axis=1, keepdims=True) if all_of_it else dy * y
        dz = dy * (1 - y**2)
        return jnp.sum(e**3), {"w": x.T @ dz, "b": dz.sum(axis=0)}

    outcome = investigate(disagreement(candidate, with_a_target, PARAMS, X))
    assert outcome.verdict == "manual_wrong"
    assert outcome.details[-1].startswith("the referee (")
    told = "manual differentiates as well what the loss holds by stop_gradient"
    assert outcome.details[0].startswith(told) == all_of_it


def rectified(b, x):
    return jnp.sum(jax.nn.relu(x + b))


def rectified_by_hand(b, x):
    return rectified(b, x), (x + b >= 0).astype(x.dtype).sum(axis=0)


ON_THE_KINK = np.concatenate([X, np.zeros((2, 3))])


def test_another_convention_on_a_kink():
    outcome = investigate(disagreement(rectified_by_hand, rectified, np.zeros(3), ON_THE_KINK))
    assert outcome.verdict == "kink"
    assert outcome.details[0].startswith("6 entries sit on the kink of relu (")
    assert outcome.details[1] == (
        "on the kink manual has 5 and jax.grad 3 in params at (0,); moved off it, both agree"
    )


def test_a_mistake_on_a_kink_is_still_a_mistake():
    def candidate(b, x):
        value, grad = rectified_by_hand(b, x)
        return value, grad + 1e-6 * jnp.sum(x)

    case = disagreement(candidate, rectified, np.zeros(3), ON_THE_KINK)
    assert investigate(case).verdict == "manual_wrong"


@pytest.mark.parametrize("distance", [0.0, 3e-8])
def test_a_kink_within_the_referees_steps_does_not_make_jax_grad_wrong(distance):
    """Its differences come to the mean of two slopes there: 4, where jax.grad has 3 or 5."""
    x = np.concatenate([X, np.full((2, 3), distance)])
    case = disagreement(lambda b, x: (rectified(b, x), np.full(3, 9.0)), rectified, np.zeros(3), x)
    outcome = investigate(case)
    assert outcome.verdict == "manual_wrong"
    assert outcome.details[0].startswith("the referee (central differences off a kink, ")


def test_a_wrong_rule_is_still_wrong_where_the_loss_has_a_kink():
    def loss(b, x):
        return jnp.sum(cube(jax.nn.relu(x + b)))

    def right(b, x):
        return loss(b, x), 3 * (jax.nn.relu(x + b) ** 2).sum(axis=0)

    def wrong(b, x):
        return loss(b, x), (jax.nn.relu(x + b) ** 2).sum(axis=0)

    fault = investigate(disagreement(right, loss, np.zeros(3), ON_THE_KINK))
    assert fault.verdict == "autodiff_wrong"
    both = investigate(disagreement(wrong, loss, np.zeros(3), ON_THE_KINK))
    assert both.verdict == "manual_wrong"
    assert both.details[0].startswith("jax.grad is wrong as well: the referee (")


def test_a_tie_elsewhere_excuses_nothing():
    """The loss sits on a kink, and the mistake has nothing to do with it."""

    def loss(b, x):
        return jnp.sum(jax.nn.relu(x + b) ** 2)

    def candidate(b, x):
        return loss(b, x), jax.nn.relu(x + b).sum(axis=0)

    outcome = investigate(disagreement(candidate, loss, np.zeros(3), ON_THE_KINK))
    assert outcome.verdict == "manual_wrong"


def test_too_small_for_the_referee_is_inconclusive():
    def loss(w, x):
        return jnp.sum(jax.nn.relu(x @ w) ** 2)

    def candidate(w, x):
        z = jax.nn.relu(x @ w)
        return jnp.sum(z**2), (2 * x.T @ z).at[1, 1].add(2e-13)

    case = disagreement(candidate, loss, W, X)
    assert case.wrong == ["params"]
    outcome = investigate(case)
    assert outcome.verdict == "inconclusive"
    assert outcome.details[0].endswith(": too small a difference to decide who is wrong")
    assert outcome.diagnosis is None


def softplus(z):
    return jnp.sum(jax.nn.softplus(z))


def sigmoid_by_subtraction(z):
    """Right in theory; for p next to 1 few digits of 1 − p are left."""
    return softplus(z), 1 - 1 / (1 + jnp.exp(z))


LOW = np.asarray([-14.0, -13.0, -12.5])


def test_an_unstable_formula_is_inaccurate_and_not_wrong():
    case = disagreement(sigmoid_by_subtraction, softplus, LOW)
    assert case.wrong == ["params"]
    outcome = investigate(case)
    assert outcome.verdict == "manual_inaccurate"
    assert "an unstable formula, not a wrong one" in outcome.details[0]


def test_an_unstable_formula_in_numpy_too():
    def in_numpy(z):
        z = np.asarray(z)
        return np.log1p(np.exp(z)).sum(), 1 - 1 / (1 + np.exp(z))

    outcome = investigate(disagreement(in_numpy, softplus, LOW, jit=False))
    assert outcome.verdict == "manual_inaccurate"


def test_a_large_error_in_float32_does_not_excuse_a_small_mistake():
    """Half a float32's digits are lost, and in float64 an error stays that no rounding makes."""

    def candidate(z):
        value, grad = sigmoid_by_subtraction(z)
        return value, grad + (1e-9 if z.dtype == jnp.float64 else 1e-3)

    outcome = investigate(disagreement(candidate, softplus, LOW))
    assert outcome.verdict == "manual_wrong"


def test_an_error_that_hardly_shrinks_is_not_rounding():
    """In NumPy, where the candidate's own noise cannot be measured, the shrinking decides."""

    def in_numpy(z):
        z = np.asarray(z)
        p = 1 / (1 + np.exp(-z))
        return np.log1p(np.exp(z)).sum(), p * (1 + (1e-4 if z.dtype == np.float64 else 1e-3))

    outcome = investigate(disagreement(in_numpy, softplus, LOW, jit=False))
    assert outcome.verdict == "manual_wrong"


def test_a_search_that_fails_does_not_lose_the_verdict(monkeypatch):
    def fail(case):
        raise NotImplementedError("no such primitive\nand more")

    monkeypatch.setattr("compare.checker.investigation.diagnose", fail)
    outcome = investigate(disagreement(without_derivative_of_tanh, smooth, PARAMS, X))
    assert outcome.verdict == "manual_wrong"
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.bug == "unknown"
    assert outcome.diagnosis.evidence == (
        "the search for a name failed: NotImplementedError: no such primitive"
    )


def root(w, x):
    """0 · ∞ in the branch that is not taken, at x = 0."""
    return jnp.where(x > 0, jnp.sqrt(w * x), 0.0).sum()


def root_by_hand(w, x):
    slope = jnp.where(x > 0, 0.5 * x / jnp.sqrt(jnp.where(x > 0, w * x, 1.0)), 0.0)
    return root(w, x), slope


AT_ZERO = np.asarray([1.0, 2.0, 3.0]), np.asarray([0.0, 1.0, 2.0])


def test_the_referee_overrules_a_gradient_of_jax_that_is_not_finite():
    case = disagreement(root_by_hand, root, *AT_ZERO, judged=False)
    assert np.isnan(case.autodiff_gradient["params"][0])
    outcome = overruled(case)
    assert outcome is not None
    assert outcome.verdict == "autodiff_wrong"
    assert outcome.details[0].endswith("; a 0 · ∞ in a branch not taken gives NaN")


def test_it_does_not_where_manual_is_finite_and_wrong():
    def candidate(w, x):
        value, grad = root_by_hand(w, x)
        return value, 2 * grad

    assert overruled(disagreement(candidate, root, *AT_ZERO, judged=False)) is None
