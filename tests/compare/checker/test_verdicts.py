"""Who is wrong: each verdict, through the public interface, on functions of a user's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients, check_rule


def normal(*shape, seed=0, scale=1.0):
    return jnp.asarray(scale * np.random.default_rng(seed).standard_normal(shape), jnp.float32)


X = normal(7, 5)
W = normal(5, 3, seed=1)


def tanh_loss(w, x):
    return jnp.sum(jnp.tanh(x @ w) ** 3)


def right(w, x):
    y = jnp.tanh(x @ w)
    return (y**3).sum(), x.T @ (3 * y**2 * (1 - y**2))


def test_agree():
    assert check_gradients(right, tanh_loss, W, X).verdict == "agree"


def test_manual_wrong_is_what_the_referee_says():
    report = check_gradients(lambda w, x: (right(w, x)[0], 1.01 * right(w, x)[1]), tanh_loss, W, X)
    assert report.verdict == "manual_wrong"
    assert any("the referee (complex step, " in line for line in report.details)


@jax.custom_vjp
def cube(x):
    return x**3


cube.defvjp(lambda x: (x**3, x), lambda x, dy: (2 * x**2 * dy,))  # The 3 became a 2.


def test_a_wrong_custom_vjp_in_the_loss_is_autodiffs_fault():
    def loss(w, x):
        return jnp.sum(cube(jnp.tanh(x @ w)))

    report = check_gradients(right, loss, W, X)
    assert report.verdict == "autodiff_wrong"
    assert "jax.grad of this loss is wrong" in str(report)


def test_both_wrong_is_said():
    def loss(w, x):
        return jnp.sum(cube(jnp.tanh(x @ w)))

    report = check_gradients(lambda w, x: (right(w, x)[0], -right(w, x)[1]), loss, W, X)
    assert report.verdict == "manual_wrong"
    assert any(line.startswith("jax.grad is wrong as well: ") for line in report.details)


def test_the_where_trap_is_autodiffs_fault():
    def loss(w, x):
        return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, w, w) * x), 0.0).sum()

    def candidate(w, x):
        root = jnp.sqrt(jnp.maximum(w * x, 0))
        slope = jnp.where(x > 0, 0.5 * x / jnp.where(x > 0, root, 1), 0)
        return jnp.where(x > 0, root, 0).sum(), slope

    x = jnp.asarray([0.0, 1.0, 2.0])
    report = check_gradients(candidate, loss, jnp.asarray([1.0, 2.0, 3.0]), x)
    assert report.verdict == "autodiff_wrong"
    assert any("autodiff has 1 of 3 entries not finite" in line for line in report.details)


def test_nan_of_manual_alone_is_nonfinite():
    report = check_gradients(lambda w, x: (right(w, x)[0], right(w, x)[1] * jnp.nan),
                             tanh_loss, W, X)  # fmt: skip
    assert report.verdict == "nonfinite"


def one_pass_variance(w, x):
    """∂ of the variance of x w by E[z²] − E[z]², which cancels on data with a large mean."""
    z = x * w
    n = len(z)
    value = (z**2).mean() - z.mean() ** 2
    return ((z - z.mean()) ** 2).mean(), (2 * x * z / n).sum() - 2 * z.mean() * x.mean() + 0 * value


def test_a_one_pass_variance_is_inaccurate_not_wrong():
    def loss(w, x):
        return jnp.var(x * w)

    x = 1e4 + normal(50)
    report = check_gradients(one_pass_variance, loss, jnp.float32(1.5), x)
    assert report.verdict == "manual_inaccurate"
    assert "in float32 and" in " ".join(report.details)


def test_log_of_a_softmax_is_inaccurate_not_wrong():
    """1 − p by subtraction, for p next to 1: right in theory, and without digits left."""

    def loss(z):
        return jnp.sum(jax.nn.softplus(z))

    def candidate(z):
        return loss(z), 1 - 1 / (1 + jnp.exp(z))

    z = jnp.asarray([-14.0, -13.0, -12.5])
    report = check_gradients(candidate, loss, z)
    assert report.verdict == "manual_inaccurate"


def test_relu_at_zero_is_a_kink():
    def loss(w, x):
        return jnp.sum(jax.nn.relu(x @ w))

    def candidate(w, x):
        z = x @ w
        return jnp.maximum(z, 0).sum(), x.T @ (z >= 0).astype(x.dtype)

    w = normal(3, 2, seed=3)
    x = jnp.concatenate([normal(4, 3), normal(1, 3)]).at[4].set(0).at[2].set(0)
    agreeing = check_gradients(candidate, loss, w, x)
    assert agreeing.agree, "0 · x is 0 whatever the convention"

    def shifted(b, x):
        return jnp.sum(jax.nn.relu(x + b))

    def ones(b, x):
        return jnp.maximum(x + b, 0).sum(), ((x + b) >= 0).astype(x.dtype).sum(axis=0)

    report = check_gradients(ones, shifted, jnp.zeros(3), x)
    assert report.verdict == "kink"
    assert report.details[1].startswith("6 entries sit on the kink of relu (")
    assert "test_verdicts.py:" in report.details[1]
    assert "on the kink manual has" in report.details[-1]


def test_a_mistake_at_a_kink_is_still_a_mistake():
    def loss(b, x):
        return jnp.sum(jax.nn.relu(x + b) ** 2)

    def candidate(b, x):
        return loss(b, x), jnp.maximum(x + b, 0).sum(axis=0)

    x = normal(4, 3).at[1].set(0)
    report = check_gradients(candidate, loss, jnp.zeros(3), x)
    assert report.verdict == "manual_wrong"


def test_too_small_to_decide_is_inconclusive():
    """Central differences cannot see what the comparison can."""

    def loss(w, x):
        return jnp.sum(jax.nn.relu(x @ w) ** 2)

    def candidate(w, x):
        z = jnp.maximum(x @ w, 0)
        return (z**2).sum(), (2 * x.T @ z).at[1, 1].add(2e-13)

    report = check_gradients(candidate, loss, W, X, dtype="float64")
    assert report.verdict == "inconclusive"
    assert "too small a difference to decide" in report.details[-1]


def test_rules_are_diagnosed_too():
    def sigmoid_fwd(x):
        y = 1 / (1 + jnp.exp(-x))
        return y, (x,)

    report = check_rule(sigmoid_fwd, lambda res, dy: (dy,), X, reference=jax.nn.sigmoid)
    assert report.verdict == "manual_wrong"
    assert report.diagnosis is not None
    assert report.diagnosis.bug == "missing_activation_derivative"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_difference_that_only_float32_shows_is_inaccurate(dtype):
    def candidate(w, x):
        value, grad = right(w, x)
        mantissa = 12 if w.dtype == jnp.float32 else 52
        return value, jax.lax.reduce_precision(grad, 11, mantissa)

    verdict = check_gradients(candidate, tanh_loss, W, X, dtype=dtype).verdict
    assert verdict == ("manual_inaccurate" if dtype == "float32" else "agree")


def test_noise_that_cannot_be_measured_is_inconclusive():
    """One unit more and e^w is infinite."""

    def loss(w):
        return jnp.sum(jnp.exp(w) * 1e-300)

    largest = np.log(np.finfo(np.float64).max)
    report = check_gradients(jax.value_and_grad(loss), loss, np.asarray([largest]), dtype="float64")
    assert report.verdict == "inconclusive"
    assert "rounding noise in float64 cannot be measured" in report.details[0]


def test_noise_that_says_nothing_does_not_excuse_bad_arithmetic():
    """In bfloat16 a saturated tanh, moved by a unit, makes an infinite gradient."""

    def loss(x):
        return jnp.sum(jax.nn.gelu(x) * x)

    def candidate(x):
        return loss(x), jax.grad(loss)(x) * (1 if x.dtype == jnp.float64 else 1.5)

    x = jnp.asarray([1e12, -2e12, 3e11], jnp.bfloat16)
    assert check_gradients(jax.value_and_grad(loss), loss, x).agree
    assert check_gradients(candidate, loss, x).verdict == "manual_inaccurate"


def test_a_search_that_fails_does_not_lose_the_verdict(monkeypatch):
    def fail(case):
        raise NotImplementedError("no such primitive")

    monkeypatch.setattr("compare.checker.investigation.diagnose", fail)
    report = check_gradients(lambda w, x: (right(w, x)[0], -right(w, x)[1]), tanh_loss, W, X)
    assert report.verdict == "manual_wrong"
    assert report.diagnosis is not None
    assert report.diagnosis.bug == "unknown"
    assert "NotImplementedError: no such primitive" in report.diagnosis.evidence


def test_a_kink_nearby_does_not_hide_a_mistake_that_float32_shows():
    """It makes jax.grad's noise in float32 as large as a slope, where numbers move by a unit."""
    x = np.concatenate([X[:, :1], np.full((4, 1), 1e-8)]).astype(np.float32)

    def loss(b, x):
        return jnp.sum(jax.nn.relu(x + b) * (x + 2))

    def candidate(b, x):
        return loss(b, x), jnp.sum((x + b > 0) * (x + 2), axis=0) * 1.5

    report = check_gradients(candidate, loss, jnp.zeros(1), x)
    assert report.verdict == "manual_wrong"
    assert not [line for line in report.details if "hides" in line or "as well" in line]
