"""What a rule leaves out, and how to say that it is meant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule

LOGITS, TARGETS = np.random.default_rng(0).standard_normal((2, 3, 5))


def cross_entropy(logits, targets, scale):
    """Returns the loss, and for the log what part of it is a penalty."""
    log_z = jax.nn.logsumexp(logits, axis=-1)
    penalty = scale * log_z**2
    return log_z * targets.sum(-1) - (targets * logits).sum(-1) + penalty, penalty


def fwd(logits, targets, scale):
    return cross_entropy(logits, targets, scale), (logits, targets, scale)


def by_the_loss_alone(residuals, d_out):
    return jax.vjp(cross_entropy, *residuals)[1]((d_out[0], jnp.zeros_like(d_out[1])))


def of_the_logits_alone(residuals, d_out):
    return by_the_loss_alone(residuals, d_out)[0], None, None


def twice_too_large(residuals, d_out):
    return tuple(2 * d for d in by_the_loss_alone(residuals, d_out))


def details(bwd):
    return "; ".join(check_rule(fwd, bwd, LOGITS, TARGETS, 0.1).details)


UNREAD = "the cotangent of out[1] is not read"
MEANT = "if it is meant, give a reference that has lax.stop_gradient around that output"


def test_a_cotangent_that_is_not_read_is_told():
    assert f"{UNREAD}, and but for that logits and scale agree: {MEANT}" in details(
        by_the_loss_alone
    )


def test_what_is_wrong_besides_is_not_said_to_agree():
    told = details(twice_too_large)
    assert UNREAD in told
    assert "agree" not in told


def test_what_is_left_at_zero_is_told():
    told = details(of_the_logits_alone)
    assert f"{UNREAD}, and but for that logits agrees: {MEANT}" in told
    constant = "if that is meant, say constant=('targets', 'scale')"
    assert f"targets and scale are left at zero: {constant}" in told


def test_what_is_meant_agrees():
    def meant(logits, targets, scale):
        loss, penalty = cross_entropy(logits, targets, scale)
        return loss, jax.lax.stop_gradient(penalty)

    settings = {"constant": ("targets", "scale"), "reference": meant}
    assert check_rule(fwd, of_the_logits_alone, LOGITS, TARGETS, 0.1, **settings).agree


def test_one_input_alone_cannot_be_constant():
    report = check_rule(lambda x: (x**2, x), lambda x, d: (None,), LOGITS)
    assert not report.agree
    assert "constant=" not in "; ".join(report.details)


@pytest.mark.parametrize(
    ("fwd", "bwd", "told"),
    [
        (jnp.sign, lambda x, dy: dy * (abs(x) <= 1), "has steps alone, and no slope: if this"),
        (lambda x: x, lambda x, dy: jnp.clip(dy, -0.1, 0.1), "comes out as it is: if this"),
        (lambda x: x, lambda x, dy: -dy, "comes out as it is: if this"),
        (jnp.tanh, lambda x, dy: dy, ""),
    ],
)
def test_a_gradient_that_may_be_meant_is_told(fwd, bwd, told):
    report = check_rule(lambda x: (fwd(x), x), lambda x, dy: (bwd(x, dy),), LOGITS)
    sentences = [line for line in report.details if "if this gradient is meant" in line]
    assert report.verdict == "manual_wrong"
    assert bool(sentences) == bool(told)
    assert told in "".join(sentences)
