"""Losses: scalars, the mean over m examples, all axes but the last, or over all n entries.

The two that end a classifier take logits z, not probabilities a, because the nonlinearity and the
logarithm belong together: differentiated as one, the derivative of softmax or sigmoid cancels
against that of −log, and both leave dz = (a − y) / m, which no confident mistake can saturate
(Nielsen 2015, ch. 3; Goodfellow et al. 2016, §6.2.2).
"""

import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules._means import share_of_mean
from manual.rules._requirements import require_alike
from manual.rules.rule import Rule, chosen

__all__ = [
    "LOSSES",
    "by_name",
    "mean_squared_error",
    "mean_squared_error_bwd",
    "mean_squared_error_fwd",
    "sigmoid_binary_cross_entropy",
    "sigmoid_binary_cross_entropy_bwd",
    "sigmoid_binary_cross_entropy_fwd",
    "softmax_cross_entropy",
    "softmax_cross_entropy_bwd",
    "softmax_cross_entropy_fwd",
    "softmax_cross_entropy_with_integer_labels",
    "softmax_cross_entropy_with_integer_labels_bwd",
    "softmax_cross_entropy_with_integer_labels_fwd",
]


def mean_squared_error_fwd(
    predictions: jax.Array, targets: jax.Array
) -> tuple[jax.Array, tuple[jax.Array]]:
    """L = 1/n Σ (p − y)².

    Shapes: predictions and targets alike, any shape, n entries, one dtype -> L ().

    Raises:
        AssertionError: if shapes or dtypes differ.
    """
    require_alike(predictions, targets)
    error = predictions - targets
    return jnp.mean(error**2), (error,)


def mean_squared_error_bwd(
    residuals: tuple[jax.Array], d_loss: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """dp = 2/n (p − y) dL,  dy = −dp."""
    (error,) = residuals
    dpredictions = (error * (2 * share_of_mean(d_loss, error.size))).astype(error.dtype)
    return dpredictions, -dpredictions


mean_squared_error = Rule(mean_squared_error_fwd, mean_squared_error_bwd)


def sigmoid_binary_cross_entropy_fwd(
    logits: jax.Array, targets: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """L = 1/n Σ −y log a − (1 − y) log(1 − a),  a = σ(z).

    Since −log σ(z) = softplus(z) − z and −log(1 − σ(z)) = softplus(z), each term is
    softplus(z) − y z = max(z, 0) − y z + log(1 + e^−|z|).

    Shapes: logits and targets alike, any shape, n entries, one dtype -> L ().

    Raises:
        AssertionError: if shapes or dtypes differ.
    """
    require_alike(logits, targets)
    terms = jnp.maximum(logits, 0) - targets * logits + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return jnp.mean(terms), (logits, targets)


def sigmoid_binary_cross_entropy_bwd(
    residuals: tuple[jax.Array, jax.Array], d_loss: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """dz = (a − y)/n dL,  dy = −z/n dL.

    softplus′ = σ, so ∂/∂z (softplus(z) − y z) = σ(z) − y and ∂/∂y = −z
    (Goodfellow et al. 2016, §6.2.2.2). a − y is written (1 − y) σ(z) − y σ(−z): where the model is
    sure and right, a rounds to y and the difference would be 0.
    """
    logits, targets = residuals
    scale = share_of_mean(d_loss, logits.size)
    dlogits = (1 - targets) * lax.logistic(logits) - targets * lax.logistic(-logits)
    return (dlogits * scale).astype(logits.dtype), (-logits * scale).astype(logits.dtype)


sigmoid_binary_cross_entropy = Rule(
    sigmoid_binary_cross_entropy_fwd, sigmoid_binary_cross_entropy_bwd
)


Rows = tuple[jax.Array, jax.Array]
"""The largest logit of each row, and its sum of exponentials."""
Kept = tuple[jax.Array, Rows, jax.Array]
"""The logits, their `_exponentials`, and the targets or labels."""


def _exponentials(logits: jax.Array) -> Rows:
    """Of each row the largest logit c and s = Σ_j e^(z_j − c), (..., 1): nothing overflows.

    With the logits they are all of the softmax: p = e^(z − c) / s, log p = z − c − log s.
    """
    largest = logits.max(axis=-1, keepdims=True)
    return largest, jnp.exp(logits - largest).sum(axis=-1, keepdims=True)


def softmax_cross_entropy_fwd(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, Kept]:
    """L = −1/m Σ_i Σ_j y_ij log p_ij,  p = softmax(z) by rows,  0 log 0 = 0.

    Shapes: logits (..., classes), targets (..., classes), one dtype -> L (). The targets are
    one-hot rows or probabilities; they need not sum to 1.

    Raises:
        AssertionError: if shapes or dtypes are not these.
    """
    chex.assert_axis_dimension_gteq(logits, -1, 0)
    require_alike(logits, targets)
    largest, total = _exponentials(logits)
    terms = jnp.where(targets == 0, 0, targets * (logits - largest - jnp.log(total)))
    return -terms.sum(axis=-1).mean(), (logits, (largest, total), targets)


def softmax_cross_entropy_bwd(residuals: Kept, d_loss: jax.Array) -> tuple[jax.Array, jax.Array]:
    """dz = (p Σ_j y_j − y)/m dL,  dy = −log p /m dL.

    ∂ log p_j / ∂z_k = 1[j = k] − p_k, hence for one row
        ∂L/∂z_k = −Σ_j y_j (1[j = k] − p_k) = p_k Σ_j y_j − y_k,
    which is p − y where the targets sum to 1 (Goodfellow et al. 2016, §6.2.2.3).
    """
    logits, (largest, total), targets = residuals
    scale = share_of_mean(d_loss, math.prod(logits.shape[:-1]))
    shifted = logits - largest
    dlogits = jnp.exp(shifted) * (targets.sum(axis=-1, keepdims=True) / total) - targets
    dtargets = jnp.log(total) - shifted
    return (dlogits * scale).astype(logits.dtype), (dtargets * scale).astype(logits.dtype)


softmax_cross_entropy = Rule(softmax_cross_entropy_fwd, softmax_cross_entropy_bwd)


def softmax_cross_entropy_with_integer_labels_fwd(
    logits: jax.Array, labels: jax.Array
) -> tuple[jax.Array, Kept]:
    """L = −1/m Σ_i log p_i,label(i),  p = softmax(z) by rows.

    Shapes: logits (..., classes), labels (...) of an integer dtype -> L ().

    Labels are indices as JAX and optax read them: −1 is the last class, and one beyond the classes
    makes the loss NaN.

    Raises:
        AssertionError: if shapes or dtypes are not these.
    """
    chex.assert_type(labels, int)
    chex.assert_shape(logits, (*labels.shape, None))
    largest, total = _exponentials(logits)
    picked = jnp.take_along_axis(logits, labels[..., None], axis=-1, mode="fill")
    return (jnp.log(total) - (picked - largest)).mean(), (logits, (largest, total), labels)


def softmax_cross_entropy_with_integer_labels_bwd(
    residuals: Kept, d_loss: jax.Array
) -> tuple[jax.Array, None]:
    """dz = (p − y)/m dL,  y_ij = 1[j = label(i)].

    `softmax_cross_entropy_bwd` with one-hot targets, which sum to 1. The labels have no cotangent.
    """
    logits, (largest, total), labels = residuals
    scale = share_of_mean(d_loss, labels.size)
    p_scaled = jnp.exp(logits - largest) * (scale / total)  # One division a row.
    p_scaled, scale = p_scaled.astype(logits.dtype), scale.astype(logits.dtype)
    # int32, because a sum with a uint8 label might wrap around.
    labels = labels.astype(jnp.int32)
    return lax.platform_dependent(
        p_scaled, labels, scale, cpu=_less_at_labels, default=_less_one_hot
    ), None


def _less_at_labels(p: jax.Array, labels: jax.Array, scale: jax.Array) -> jax.Array:
    """p less scale at each row's label: m numbers are written."""
    of_row = lambda row, label: row.at[label].add(-scale)  # noqa: E731
    return jax.vmap(of_row)(p.reshape(-1, p.shape[-1]), labels.reshape(-1)).reshape(p.shape)


def _less_one_hot(p: jax.Array, labels: jax.Array, scale: jax.Array) -> jax.Array:
    """The same without a scatter, which is slow on an accelerator: an iota makes y."""
    classes = p.shape[-1]
    labels = jnp.where(labels < 0, labels + classes, labels)
    return p - jnp.where(labels[..., None] == jnp.arange(classes), scale, 0)


softmax_cross_entropy_with_integer_labels = Rule(
    softmax_cross_entropy_with_integer_labels_fwd, softmax_cross_entropy_with_integer_labels_bwd
)


LOSSES: dict[str, Rule[..., jax.Array]] = {
    rule.__name__: rule
    for rule in (
        mean_squared_error,
        sigmoid_binary_cross_entropy,
        softmax_cross_entropy,
        softmax_cross_entropy_with_integer_labels,
    )
}
"""By their names."""


def by_name(name: str | Rule[..., jax.Array]) -> Rule[..., jax.Array]:
    """Returns the loss called `name`; a rule of one's own is returned as it is.

    Raises:
        ValueError: if there is none of that name.
    """
    return chosen("loss", LOSSES, name)
