import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import further
from compare import check_rule
from manual.rules import hinge, kl_divergence, sigmoid_focal


def draw(seed, kind):
    rng = np.random.default_rng(seed)
    logits, other = (jnp.asarray(2 * rng.standard_normal((5, 3)), jnp.float32) for _ in range(2))
    targets = {
        "signs": jnp.sign(other),
        "bits": (other > 0).astype(jnp.float32),
        "probabilities": jax.nn.softmax(other).at[1].set(jnp.array([1.0, 0.0, 0.0])),
        "soft": jax.nn.sigmoid(other),
    }[kind]
    return (jax.nn.log_softmax(logits) if kind == "probabilities" else logits), targets


dtypes = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])


@pytest.mark.table
@dtypes
@pytest.mark.parametrize("settings", [{}, {"gamma": 1.5, "alpha": 0.25}, {"gamma": 0.0}], ids=str)
def test_focal_is_the_vjp_of_optax(dtype, settings):
    rule = sigmoid_focal.bind(**settings) if settings else sigmoid_focal
    reference = functools.partial(further.sigmoid_focal, **settings)
    report = check_rule(rule.fwd, rule.bwd, *draw(0, "soft"), reference=reference, dtype=dtype)
    assert report.agree, report


@dtypes
def test_focal_of_zeros_and_ones_is_the_vjp_of_optax(dtype):
    # optax's log-space form has a kink in the targets there, so that these are held fast.
    logits, targets = draw(5, "bits")
    report = check_rule(
        lambda z: sigmoid_focal.fwd(z, targets.astype(z.dtype)),
        lambda residuals, d_loss: sigmoid_focal.bwd(residuals, d_loss)[:1],
        logits,
        reference=lambda z: further.sigmoid_focal(z, targets),
        dtype=dtype,
    )
    assert report.agree, report


@dtypes
def test_hinge_is_the_vjp_of_optax(dtype):
    report = check_rule(
        hinge.fwd, hinge.bwd, *draw(1, "signs"), reference=further.hinge, dtype=dtype
    )
    assert report.agree, report


def test_hinge_is_the_loss_of_the_whole_margin():
    z, y = jnp.array([1.0, -1.0, 0.5, 3.0]), jnp.array([1.0, -1.0, 1.0, -1.0])
    assert hinge(z, y) == (0.5 + 4) / 4
    np.testing.assert_array_equal(jax.grad(hinge)(z, y), [0, 0, -0.25, 0.25])


@dtypes
def test_kl_divergence_is_the_vjp_of_optax(dtype):
    log_q, y = draw(2, "probabilities")
    # The slope of y log y at 0 is a convention: the targets' cotangent is looked at where y > 0.
    inside = draw(3, "probabilities")[0], jax.nn.softmax(draw(4, "soft")[0])
    rule, reference = kl_divergence, further.kl_divergence
    report = check_rule(rule.fwd, rule.bwd, *inside, reference=reference, dtype=dtype)
    assert report.agree, report
    dlog_q, dy = jax.grad(rule, argnums=(0, 1))(log_q, y)
    np.testing.assert_allclose(dlog_q, -y / 5, rtol=1e-6)
    np.testing.assert_allclose(dy[1, 1:], -log_q[1, 1:] / 5, rtol=1e-6)


def test_kl_divergence_leaves_out_a_class_that_neither_side_has():
    q, y = jnp.array([[1.0, 0.0]]), jnp.array([[1.0, 0.0]])
    assert kl_divergence(jnp.log(q), y) == 0
    assert kl_divergence(jnp.log(q[:, ::-1]), y) == jnp.inf
    np.testing.assert_array_equal(jax.grad(kl_divergence)(jnp.log(q), y), -y)


def test_sure_and_right_or_wrong_stays_finite():
    z, y = jnp.array([200.0, -200.0, 200.0, -200.0]), jnp.array([1.0, 0.0, 0.0, 1.0])
    grads = jax.grad(sigmoid_focal, argnums=(0, 1))(z, y)
    assert all(np.isfinite(g).all() for g in grads)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"gamma must be 0, or 1 or more, got 0\.5"):
        sigmoid_focal(jnp.ones(2), jnp.ones(2), gamma=0.5)
    for loss in (hinge, kl_divergence, sigmoid_focal):
        with pytest.raises(AssertionError):
            loss(jnp.ones((2, 1)), jnp.ones((2, 3)))
