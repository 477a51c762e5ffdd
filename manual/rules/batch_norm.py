"""Batch normalisation (Ioffe & Szegedy 2015), for training and for inference.

Legend: n examples of each of c channels, all axes but the last being examples, so that a matrix
(batch, channels) and images (batch, height, width, channels) are normalised alike. γ is `scale`,
β is `bias`, ε is `epsilon`.

Statistics are taken in float32 where x is narrower; y and dx have x's dtype.
"""

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules._requirements import require_epsilon
from manual.rules.rule import Rule

__all__ = [
    "batch_norm",
    "batch_norm_bwd",
    "batch_norm_fwd",
    "batch_norm_inference",
    "batch_norm_inference_bwd",
    "batch_norm_inference_fwd",
    "update_running",
]

Kept = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""x, γ, μ and r."""
Outputs = tuple[jax.Array, jax.Array, jax.Array]
"""y, μ and σ²."""


def _wide_rows(x: jax.Array) -> jax.Array:
    """x as a matrix (n, channels), in float32 at least."""
    chex.assert_type(x, float)
    return x.reshape(-1, x.shape[-1]).astype(jnp.promote_types(x.dtype, jnp.float32))


def _assert_per_channel(x: jax.Array, scale: jax.Array, *others: jax.Array) -> None:
    chex.assert_rank(x, {2, 3, 4, 5})
    chex.assert_shape([scale, *others], (x.shape[-1],))


def batch_norm_fwd(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, epsilon: float = 1e-5
) -> tuple[Outputs, Kept]:
    """y = γ x̂ + β,  x̂ = (x − μ) r,  r = 1/√(σ² + ε),  with μ and σ² those of the batch.

    σ² is the biased variance, 1/n Σ (x − μ)², as training uses it, computed after μ: the shortcut
    E[x²] − μ² cancels where |μ| is large.

    Shapes: x (..., c), scale and bias (c,) of one dtype -> y like x, and μ (c,), σ² (c,) for the
    running statistics (`update_running`), in float32 or x's dtype, whichever is wider.

    Raises:
        AssertionError: if the shapes are not these, or scale and bias differ in dtype.
        ValueError: if epsilon is negative.
    """
    require_epsilon("batch_norm", epsilon)
    _assert_per_channel(x, scale, bias)
    chex.assert_type(bias, scale.dtype)
    rows = _wide_rows(x)
    mean = rows.mean(axis=0)
    centred = rows - mean
    var = jnp.mean(centred * centred, axis=0)
    r = lax.rsqrt(var + epsilon)
    y = centred * (scale * r) + bias
    return (y.reshape(x.shape).astype(x.dtype), mean, var), (x, scale, mean, r)


def batch_norm_bwd(residuals: Kept, d_out: Outputs) -> tuple[jax.Array, jax.Array, jax.Array]:
    """dγ = Σ dy x̂,  dβ = Σ dy,  dx = γ r/n (n dy − Σ dy − x̂ Σ dy x̂)  + dμ/n + 2 (x − μ) dσ²/n.

    All sums are over the n examples of one channel. With dx̂ = γ dy, and since Σ (x − μ) = 0 makes
    ∂σ²/∂μ = 0, the paper's three steps are

        ∂L/∂σ² = Σ dx̂ (x − μ) · (−½) r³  = −½ r² γ Σ dy x̂
        ∂L/∂μ  = −r Σ dx̂                 = −r γ Σ dy
        dx     = r dx̂ + ∂L/∂σ² · 2 (x − μ)/n + ∂L/∂μ · 1/n

    (Ioffe & Szegedy 2015, §3). Put together, with x − μ = x̂/r, they are the closed form: dx is γ r
    times dy with its mean and its component along x̂ taken out. μ and σ² are outputs too, and what
    reaches them, dμ and dσ², is added to ∂L/∂μ and ∂L/∂σ²; in training both are zero.

    x̂ is rebuilt from x, which is there anyway, so that no array of x's size is kept.
    """
    x, scale, mean, r = residuals
    dy, dmean, dvar = d_out
    centred, dy = _wide_rows(x) - mean, _wide_rows(dy)
    n = centred.shape[0]
    # Of no example at all μ and r are NaN, and their sums are 0.
    r = r if n else jnp.zeros_like(r)
    dbias = dy.sum(axis=0)
    dscale = r * jnp.sum(dy * centred, axis=0)
    along_centred = (2 * dvar - scale * r * r * dscale) / n
    dx = scale * r * (dy - dbias / n) + centred * along_centred + dmean / n
    return (
        dx.reshape(x.shape).astype(x.dtype),
        dscale.astype(scale.dtype),
        dbias.astype(scale.dtype),
    )


batch_norm = Rule(batch_norm_fwd, batch_norm_bwd)


def update_running(
    running: dict[str, jax.Array], mean: jax.Array, var: jax.Array, *, momentum: float = 0.99
) -> dict[str, jax.Array]:
    """Returns the running statistics after one more batch: m · running + (1 − m) · batch.

    Args:
        running: `{"mean": (c,), "var": (c,)}`; zeros and ones to begin with.
        mean: of the batch, as `batch_norm` returns it.
        var: of the batch, biased, as `batch_norm` returns it.
        momentum: m, the weight of the past.

    Raises:
        ValueError: if momentum is not between 0 and 1.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be between 0 and 1, got {momentum}")
    batch = {"mean": mean, "var": var}
    return {
        name: (momentum * past + (1 - momentum) * batch[name]).astype(past.dtype)
        for name, past in running.items()
    }


def batch_norm_inference_fwd(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    *,
    epsilon: float = 1e-5,
) -> tuple[jax.Array, Kept]:
    """y = γ (x − μ) r + β,  r = 1/√(σ² + ε),  with μ and σ² given: the running statistics.

    Shapes: x (..., c), scale, bias, mean and var (c,) -> y like x.

    Raises:
        AssertionError: if the shapes are not these, or scale and bias, or mean and var, differ in
            dtype.
        ValueError: if epsilon is negative.
    """
    require_epsilon("batch_norm_inference", epsilon)
    _assert_per_channel(x, scale, bias, mean, var)
    chex.assert_type([bias, var], [scale.dtype, mean.dtype])
    r = lax.rsqrt(var.astype(jnp.promote_types(x.dtype, jnp.float32)) + epsilon)
    y = (_wide_rows(x) - mean) * (scale * r) + bias
    return y.reshape(x.shape).astype(x.dtype), (x, scale, mean, r)


def batch_norm_inference_bwd(
    residuals: Kept, dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]:
    """dx = γ r dy,  dγ = Σ dy x̂,  dβ = Σ dy,  dμ = −γ r Σ dy,  dσ² = −½ γ r² Σ dy x̂.

    The first three steps of `batch_norm_bwd`; μ and σ² do not depend on x, so nothing flows on.
    """
    x, scale, mean, r = residuals
    rows = _wide_rows(dy)
    dbias = rows.sum(axis=0)
    dscale = r * jnp.sum(rows * (_wide_rows(x) - mean), axis=0)
    dx = scale * r * rows
    return (
        dx.reshape(x.shape).astype(x.dtype),
        dscale.astype(scale.dtype),
        dbias.astype(scale.dtype),
        (-scale * r * dbias).astype(mean.dtype),
        (-0.5 * scale * r * r * dscale).astype(mean.dtype),
    )


batch_norm_inference = Rule(batch_norm_inference_fwd, batch_norm_inference_bwd)
