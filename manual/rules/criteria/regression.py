"""Losses of numbers: the mean over all n entries."""

import jax
import jax.numpy as jnp

from manual.rules._means import share_of_mean
from manual.rules._requirements import require_alike
from manual.rules.rule import Rule

__all__ = [
    "huber", "huber_bwd", "huber_fwd", "mean_absolute_error", "mean_absolute_error_bwd",
    "mean_absolute_error_fwd",
]  # fmt: skip

Pair = tuple[jax.Array, jax.Array]


def _error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    require_alike(predictions, targets)
    return predictions - targets


def huber_fwd(
    predictions: jax.Array, targets: jax.Array, *, delta: float = 1.0
) -> tuple[jax.Array, tuple[jax.Array]]:
    """L = 1/n Σ ½ e² where |e| ≤ δ, else δ (|e| − ½ δ),  e = p − y   (Huber 1964).

    Shapes: predictions and targets alike, any shape, one dtype -> L ().

    Raises:
        AssertionError: if shapes or dtypes differ.
        ValueError: if delta is not positive.
    """
    if not delta > 0:
        raise ValueError(f"huber's delta must be positive, got {delta}")
    error = _error(predictions, targets)
    size = jnp.abs(error)
    # Not by a minimum: XLA's CPU would write δ to memory, once for each entry.
    terms = jnp.where(size <= delta, 0.5 * error * error, delta * (size - 0.5 * delta))
    return jnp.mean(terms), (error,)


def huber_bwd(residuals: tuple[jax.Array], d_loss: jax.Array, *, delta: float = 1.0) -> Pair:
    """dp = clip(e, −δ, δ)/n dL,  dy = −dp.

    ½ e² has the slope e and δ |e| the slope ±δ; at |e| = δ they meet, so there is no kink.
    """
    (error,) = residuals
    clipped = jnp.clip(error, -delta, delta)
    dpredictions = (clipped * share_of_mean(d_loss, error.size)).astype(error.dtype)
    return dpredictions, -dpredictions


huber = Rule(huber_fwd, huber_bwd)


def mean_absolute_error_fwd(
    predictions: jax.Array, targets: jax.Array
) -> tuple[jax.Array, tuple[jax.Array]]:
    """L = 1/n Σ |p − y|, the L1 loss.

    Shapes: predictions and targets alike, any shape, one dtype -> L ().

    Raises:
        AssertionError: if shapes or dtypes differ.
    """
    error = _error(predictions, targets)
    return jnp.mean(jnp.abs(error)), (error,)


def mean_absolute_error_bwd(residuals: tuple[jax.Array], d_loss: jax.Array) -> Pair:
    """dp = sign(p − y)/n dL,  dy = −dp.

    Kink: sign(0) = 0, where autodiff of `jnp.abs` has 1; every value in [−1, 1] is a subgradient.
    """
    (error,) = residuals
    scale = share_of_mean(d_loss, error.size)
    dpredictions = (jnp.sign(error) * scale).astype(error.dtype)
    return dpredictions, -dpredictions


mean_absolute_error = Rule(mean_absolute_error_fwd, mean_absolute_error_bwd)
