"""Group normalisation of images (Wu & He 2018).

Legend: b examples, s pixels, c channels in G groups of k = c/G each. The groups are consecutive
channels, as in flax. γ is `scale`, β is `bias`, ε is `epsilon`. Statistics are taken in float32
where x is narrower; y and dx have x's dtype.
"""

import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules._requirements import require_epsilon, require_last_axis
from manual.rules.rule import Rule

__all__ = ["group_norm", "group_norm_bwd", "group_norm_fwd"]

Kept = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""x, γ, μ and r."""


def _wide_pixels(x: jax.Array) -> jax.Array:
    """x as (b, s, c), in float32 at least."""
    chex.assert_type(x, float)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1]).astype(wide)


def _group_mean(per_channel: jax.Array, groups: int) -> jax.Array:
    """The mean over each group of channels, given back to each channel: (b, c) -> (b, c)."""
    b, c = per_channel.shape
    means = per_channel.reshape(b, groups, c // groups).mean(axis=2)
    return jnp.repeat(means, c // groups, axis=1)


def group_norm_fwd(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, groups: int, epsilon: float = 1e-6
) -> tuple[jax.Array, Kept]:
    """y = γ x̂ + β,  x̂ = (x − μ) r,  r = 1/√(σ² + ε),  μ and σ² over a group's pixels and channels.

    One group is layer-norm over the whole image, c groups are instance-norm; γ and β are per
    channel either way.

    Shapes: x (b, ..., c), scale and bias (c,) of one dtype -> y like x.

    Raises:
        AssertionError: if the shapes are not these, or scale and bias differ in dtype.
        ValueError: if groups does not divide c, x is a scalar, or epsilon is negative.
    """
    require_last_axis("group_norm", "x", x)
    require_epsilon("group_norm", epsilon)
    c = x.shape[-1]
    if groups < 1 or c % groups:
        raise ValueError(f"groups must divide the {c} channels, got {groups}")
    chex.assert_shape([scale, bias], (c,))
    chex.assert_type(bias, scale.dtype)
    pixels = _wide_pixels(x)
    mean = _group_mean(pixels.mean(axis=1), groups)
    centred = pixels - mean[:, None]
    r = lax.rsqrt(_group_mean(jnp.mean(centred * centred, axis=1), groups) + epsilon)
    y = centred * (scale * r)[:, None] + bias
    return y.reshape(x.shape).astype(x.dtype), (x, scale, mean, r)


def group_norm_bwd(
    residuals: Kept, dy: jax.Array, *, groups: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """dγ = Σ_bs dy x̂,  dβ = Σ_bs dy,  dx = r (g − ⟨g⟩ − x̂ ⟨g x̂⟩),  g = γ dy.

    ⟨·⟩ is the mean over one example's group, s k entries. It is layer-norm's derivation with the
    group for the row (`layer_norm_bwd`). Both means come from two sums over pixels, which γ, being
    the same at every pixel, multiplies afterwards:

        A_bc = Σ_s dy,  B_bc = Σ_s dy (x − μ)
        dβ = Σ_b A,  dγ = Σ_b r B,  ⟨g⟩ = 1/(s k) Σ_k γ A,  ⟨g x̂⟩ = r/(s k) Σ_k γ B.
    """
    x, scale, mean, r = residuals
    centred, pixels = _wide_pixels(x) - mean[:, None], _wide_pixels(dy)
    s = pixels.shape[1]
    sum_dy, sum_dy_centred = pixels.sum(axis=1), jnp.sum(pixels * centred, axis=1)
    mean_g = _group_mean(scale * sum_dy, groups) / s
    along_centred = r * r * _group_mean(scale * sum_dy_centred, groups) / s
    dx = r[:, None] * (scale * pixels - mean_g[:, None] - centred * along_centred[:, None])
    return (
        dx.reshape(x.shape).astype(x.dtype),
        jnp.sum(r * sum_dy_centred, axis=0).astype(scale.dtype),
        sum_dy.sum(axis=0).astype(scale.dtype),
    )


group_norm = Rule(group_norm_fwd, group_norm_bwd)
