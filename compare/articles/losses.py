"""Losses that the articles use or warn of, as rules: each with its derivative by the logits.

Shapes: logits z (m, classes), or (m, 1) where the output is a sigmoid; labels (m,) class numbers;
targets (m, 1) zeros and ones. dL is the derivative of what follows by the loss.
"""

import jax
import jax.numpy as jnp

from compare.problems import Rule

__all__ = [
    "sigmoid_squared_error", "softmax_over_examples", "softmax_squared_error",
    "unguarded_cross_entropy",
]  # fmt: skip

Residuals = tuple[jax.Array, jax.Array]


def sigmoid_squared_error_fwd(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, Residuals]:
    """L = 1/n Σ (a − y)²,  a = σ(z)."""
    a = jax.nn.sigmoid(logits)
    return jnp.mean((a - targets) ** 2), (a, targets)


def sigmoid_squared_error_bwd(
    residuals: Residuals, d_loss: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """dz = 2/n (a − y) a (1 − a) dL,  dy = −2/n (a − y) dL.

    The chain rule ends in σ′ = a (1 − a), at most a quarter and nearly 0 where the network is sure
    and wrong. The derivative of cross-entropy has no such factor, and that is why it learns faster.
    """
    a, targets = residuals
    da = 2 / a.size * (a - targets) * d_loss
    return da * a * (1 - a), -da


sigmoid_squared_error = Rule(sigmoid_squared_error_fwd, sigmoid_squared_error_bwd)


def softmax_squared_error_fwd(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, Residuals]:
    """L = 1/m Σ_i Σ_j (p_ij − y_ij)²,  p = softmax(z) by rows."""
    p = jax.nn.softmax(logits)
    error = p - _one_hot(labels, logits)
    return (error**2).sum(axis=1).mean(), (p, labels)


def softmax_squared_error_bwd(residuals: Residuals, d_loss: jax.Array) -> tuple[jax.Array, None]:
    """dz_j = 2/m p_j (e_j − Σ_k e_k p_k) dL,  e = p − y.

    ∂p_k/∂z_j = p_k (1[j = k] − p_j), hence Σ_k e_k ∂p_k/∂z_j = e_j p_j − p_j Σ_k e_k p_k. Each
    term has a factor p_j: what softmax is sure of hardly moves.
    """
    p, labels = residuals
    error = p - _one_hot(labels, p)
    return 2 / len(p) * p * (error - (error * p).sum(axis=1, keepdims=True)) * d_loss, None


softmax_squared_error = Rule(softmax_squared_error_fwd, softmax_squared_error_bwd)


def softmax_over_examples_fwd(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, Residuals]:
    """L = 1/m (Σ_j log Σ_i e^z_ij − Σ_i z_i,label(i)): each class normalised over the examples.

    A program with the derivative p − y, but with the softmax over the wrong axis, minimises this.
    """
    picked = (logits * _one_hot(labels, logits)).sum()
    loss = (jax.nn.logsumexp(logits, axis=0).sum() - picked) / len(logits)
    return loss, (logits, labels)


def softmax_over_examples_bwd(residuals: Residuals, d_loss: jax.Array) -> tuple[jax.Array, None]:
    """dz = (q − y)/m dL,  q_ij = e^z_ij / Σ_k e^z_kj.

    A column of q adds up to 1 and one of y to the number of examples of its class, so the
    derivative pushes every logit up for ever.
    """
    logits, labels = residuals
    q = jax.nn.softmax(logits, axis=0)
    return (q - _one_hot(labels, logits)) / len(logits) * d_loss, None


softmax_over_examples = Rule(softmax_over_examples_fwd, softmax_over_examples_bwd)


def unguarded_cross_entropy_fwd(
    logits: jax.Array, labels: jax.Array
) -> tuple[jax.Array, Residuals]:
    """L = −1/m Σ_i log p_i,label(i),  p = e^z / Σ e^z as it is written in a textbook.

    e^z can overflow, and p can round to 0, whose logarithm is −∞; with log-sum-exp, as in
    libraries, neither happens.
    """
    e = jnp.exp(logits)
    p = e / e.sum(axis=1, keepdims=True)
    return -jnp.log((p * _one_hot(labels, logits)).sum(axis=1)).mean(), (p, labels)


def unguarded_cross_entropy_bwd(residuals: Residuals, d_loss: jax.Array) -> tuple[jax.Array, None]:
    """dz = (p − y)/m dL.

    With the p of the forward pass this is NaN where e^z overflows, and finite where p is 0.
    """
    p, labels = residuals
    return (p - _one_hot(labels, p)) / len(p) * d_loss, None


unguarded_cross_entropy = Rule(unguarded_cross_entropy_fwd, unguarded_cross_entropy_bwd)


def _one_hot(labels: jax.Array, like: jax.Array) -> jax.Array:
    return jax.nn.one_hot(labels, like.shape[1], dtype=like.dtype)
