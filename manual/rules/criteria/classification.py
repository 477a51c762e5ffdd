"""Further losses of classes: the mean over m examples or over all n entries.

The examples are all axes but the last.
"""

import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules._means import share_of_mean
from manual.rules._requirements import require_alike
from manual.rules.rule import Rule

__all__ = [
    "hinge", "hinge_bwd", "hinge_fwd", "kl_divergence", "kl_divergence_bwd", "kl_divergence_fwd",
    "sigmoid_focal", "sigmoid_focal_bwd", "sigmoid_focal_fwd",
]  # fmt: skip

Pair = tuple[jax.Array, jax.Array]


def hinge_fwd(outputs: jax.Array, targets: jax.Array) -> tuple[jax.Array, Pair]:
    """L = 1/n Σ max(0, 1 − y z),  y = ±1   (Cortes & Vapnik 1995).

    Shapes: outputs and targets alike, any shape, one dtype -> L ().

    Raises:
        AssertionError: if shapes or dtypes differ.
    """
    require_alike(outputs, targets)
    margin = outputs * targets
    # Not a maximum: XLA's CPU would write its zeros and ones to memory first.
    return jnp.mean(jnp.where(margin >= 1, 0, 1 - margin)), (outputs, targets)


def hinge_bwd(residuals: Pair, d_loss: jax.Array) -> Pair:
    """dz = −y/n dL where y z < 1, else 0;  dy = −z/n dL there.

    Kink: 0 at y z = 1, where the example is right with the whole margin; autodiff of `jnp.maximum`
    has half of both sides.
    """
    outputs, targets = residuals
    inside, scale = outputs * targets < 1, -share_of_mean(d_loss, outputs.size)
    doutputs, dtargets = (jnp.where(inside, a * scale, 0) for a in (targets, outputs))
    return doutputs.astype(outputs.dtype), dtargets.astype(outputs.dtype)


hinge = Rule(hinge_fwd, hinge_bwd)


def kl_divergence_fwd(log_predictions: jax.Array, targets: jax.Array) -> tuple[jax.Array, Pair]:
    """L = 1/m Σ_i Σ_j y_ij (log y_ij − log q_ij),  0 log 0 = 0   (Kullback & Leibler 1951).

    Shapes: log_predictions (..., classes), log q, and targets, probabilities, alike, one dtype
    -> L ().

    Raises:
        AssertionError: if shapes or dtypes differ, or there is no axis.
    """
    chex.assert_axis_dimension_gteq(log_predictions, -1, 0)
    require_alike(log_predictions, targets)
    terms = targets * _log_ratio(log_predictions, targets)
    return terms.sum(axis=-1).mean(), (log_predictions, targets)


def kl_divergence_bwd(residuals: Pair, d_loss: jax.Array) -> Pair:
    """d log q = −y/m dL,  dy = (log y + 1 − log q)/m dL.

    y log y has the slope log y + 1, which is −∞ at y = 0. There y log y is left out, and
    dy = −log q/m, where autodiff of `optax.losses.kl_divergence` has NaN.
    """
    log_predictions, targets = residuals
    scale = share_of_mean(d_loss, math.prod(targets.shape[:-1]))
    slope = _log_ratio(log_predictions, targets) + 1
    dtargets = jnp.where(targets == 0, -log_predictions, slope) * scale
    return (-targets * scale).astype(targets.dtype), dtargets.astype(targets.dtype)


def _log_ratio(log_predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """log y − log q, 0 where y = 0: one array for both halves, also where q is 0 as well."""
    return jnp.where(targets == 0, 0, jnp.log(targets) - log_predictions)


kl_divergence = Rule(kl_divergence_fwd, kl_divergence_bwd)


def sigmoid_focal_fwd(
    logits: jax.Array, targets: jax.Array, *, gamma: float = 2.0, alpha: float | None = None
) -> tuple[jax.Array, Pair]:
    """L = 1/n Σ a qᵞ c,  c = softplus(z) − y z   (Lin et al. 2017, eq. 4 and 5).

    q = y σ(−z) + (1 − y) σ(z) is how far from right the model is, and qᵞ takes the weight of what
    it knows already; a = α y + (1 − α)(1 − y), or 1 without α.

    Shapes: logits and targets alike, any shape, one dtype -> L ().

    Raises:
        AssertionError: if shapes or dtypes differ.
        ValueError: if gamma is between 0 and 1, where the slope at q = 0 is infinite, or negative.
    """
    if not (gamma == 0 or gamma >= 1):
        raise ValueError(f"gamma must be 0, or 1 or more, got {gamma}")
    require_alike(logits, targets)
    _, q, c = _parts(logits, targets)
    return jnp.mean(_weight(targets, alpha) * q**gamma * c), (logits, targets)


def sigmoid_focal_bwd(
    residuals: Pair, d_loss: jax.Array, *, gamma: float = 2.0, alpha: float | None = None
) -> Pair:
    """dz = a (qᵞ (σ(z) − y) + γ q^(γ−1) q_z c)/n dL,  q_z = (1 − 2 y) σ(z) σ(−z).

    The product rule, with c_z = σ(z) − y (`sigmoid_binary_cross_entropy_bwd`) and σ′ = σ(z) σ(−z).
    The targets' is the same with q_y = σ(−z) − σ(z), c_y = −z and a_y = 2 α − 1, or 0:

        dy = (a_y qᵞ c + a (qᵞ c_y + γ q^(γ−1) q_y c))/n dL.
    """
    logits, targets = residuals
    scale = share_of_mean(d_loss, logits.size)
    (p, rest), q, c = _parts(logits, targets)
    a, power = _weight(targets, alpha), q**gamma
    slope = 0 if gamma == 0 else gamma * q ** (gamma - 1)
    c_z = (1 - targets) * p - targets * rest
    dlogits = a * (power * c_z + slope * (1 - 2 * targets) * p * rest * c)
    dtargets = a * (slope * (rest - p) * c - power * logits)
    if alpha is not None:
        dtargets = dtargets + (2 * alpha - 1) * power * c
    return (dlogits * scale).astype(logits.dtype), (dtargets * scale).astype(logits.dtype)


sigmoid_focal = Rule(sigmoid_focal_fwd, sigmoid_focal_bwd)


def _parts(logits: jax.Array, targets: jax.Array) -> tuple[Pair, jax.Array, jax.Array]:
    """σ(z) and σ(−z), q and c."""
    p, rest = lax.logistic(logits), lax.logistic(-logits)
    c = jnp.maximum(logits, 0) - targets * logits + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return (p, rest), targets * rest + (1 - targets) * p, c


def _weight(targets: jax.Array, alpha: float | None) -> jax.Array | int:
    return 1 if alpha is None else alpha * targets + (1 - alpha) * (1 - targets)
