"""Losses that the articles use or warn of: each with its slope, the derivative by the logits.

Shapes: logits z (m, classes), or (m, 1) where the output is a sigmoid; labels (m,) class numbers;
targets (m, 1) zeros and ones.
"""

import jax
import jax.numpy as jnp

__all__ = [
    "sigmoid_squared_error", "sigmoid_squared_error_slope", "softmax_over_examples",
    "softmax_over_examples_slope", "softmax_squared_error", "softmax_squared_error_slope",
    "unguarded_cross_entropy", "unguarded_cross_entropy_slope",
]  # fmt: skip


def sigmoid_squared_error(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """L = 1/n Σ (a − y)²,  a = σ(z)."""
    return jnp.mean((jax.nn.sigmoid(logits) - targets) ** 2)


def sigmoid_squared_error_slope(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """dz = 2/n (a − y) a (1 − a).

    The chain rule ends in σ′ = a (1 − a), at most a quarter and nearly 0 where the network is sure
    and wrong: cross-entropy has the same slope without it, and that is why it learns faster.
    """
    a = jax.nn.sigmoid(logits)
    return 2 / logits.size * (a - targets) * a * (1 - a)


def softmax_squared_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """L = 1/m Σ_i Σ_j (p_ij − y_ij)²,  p = softmax(z) by rows."""
    error = jax.nn.softmax(logits) - _one_hot(labels, logits)
    return (error**2).sum(axis=1).mean()


def softmax_squared_error_slope(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """dz_j = 2/m p_j (e_j − Σ_k e_k p_k),  e = p − y.

    ∂p_k/∂z_j = p_k (1[j = k] − p_j), hence Σ_k e_k ∂p_k/∂z_j = e_j p_j − p_j Σ_k e_k p_k. Each
    term has a factor p_j: what softmax is sure of hardly moves.
    """
    p = jax.nn.softmax(logits)
    error = p - _one_hot(labels, logits)
    return 2 / len(logits) * p * (error - (error * p).sum(axis=1, keepdims=True))


def softmax_over_examples(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """L = 1/m (Σ_j log Σ_i e^z_ij − Σ_i z_i,label(i)): each class normalised over the examples.

    What a derivation minimises that has p − y for its slope and the wrong axis in its softmax.
    """
    picked = (logits * _one_hot(labels, logits)).sum()
    return (jax.nn.logsumexp(logits, axis=0).sum() - picked) / len(logits)


def softmax_over_examples_slope(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """dz = (q − y)/m,  q_ij = e^z_ij / Σ_k e^z_kj.

    A column of q adds up to 1 and one of y to the number of examples of its class, so the slope
    pushes every logit up for ever.
    """
    return (jax.nn.softmax(logits, axis=0) - _one_hot(labels, logits)) / len(logits)


def unguarded_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """L = −1/m Σ_i log p_i,label(i),  p = e^z / Σ e^z as it is written in a textbook.

    e^z overflows and the logarithm meets 0, which the log-sum-exp of a library never lets happen.
    """
    picked = (_unguarded_softmax(logits) * _one_hot(labels, logits)).sum(axis=1)
    return -jnp.log(picked).mean()


def unguarded_cross_entropy_slope(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """dz = (p − y)/m, with the same p: NaN where e^z overflows, and finite where log meets 0."""
    return (_unguarded_softmax(logits) - _one_hot(labels, logits)) / len(logits)


def _unguarded_softmax(logits: jax.Array) -> jax.Array:
    e = jnp.exp(logits)
    return e / e.sum(axis=1, keepdims=True)


def _one_hot(labels: jax.Array, logits: jax.Array) -> jax.Array:
    return jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
