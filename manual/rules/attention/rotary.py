"""Rotary positions (Su et al. 2021): pairs of features turned by an angle that grows with time."""

import chex
import jax
import jax.numpy as jnp

from manual.rules.rule import Rule

__all__ = ["rotary", "rotary_bwd", "rotary_fwd"]


def rotary_fwd(
    x: jax.Array, positions: jax.Array, *, base: float = 10_000.0
) -> tuple[jax.Array, tuple[jax.Array]]:
    """[y_j, y_(j+K/2)] = [x_j cos a − x_(j+K/2) sin a,  x_j sin a + x_(j+K/2) cos a].

    The angle is a = p θ_j, with p the position and θ_j = base^(−2j/K). The product of a query
    turned by p and a key turned by p′ depends on p − p′ alone. Feature j is paired with feature
    j + K/2, as in GPT-NeoX and Llama.

    Shapes: x (batch, T, heads, K), positions (T,) or (batch, T) -> y like x. The positions have no
    cotangent.

    Raises:
        AssertionError: if the shapes are not these.
        ValueError: if K is odd.
    """
    chex.assert_rank(x, 4)
    chex.assert_type(x, float)
    if x.shape[3] % 2:
        raise ValueError(f"rotary pairs the features, whose number must be even; got {x.shape[3]}")
    chex.assert_shape(positions, x.shape[:2] if positions.ndim == 2 else x.shape[1:2])
    return _turned(x, positions, base), (positions,)


def rotary_bwd(
    residuals: tuple[jax.Array], dy: jax.Array, *, base: float = 10_000.0
) -> tuple[jax.Array, None]:
    """dx = dy turned by −a: the transpose of a rotation is the rotation back."""
    (positions,) = residuals
    return _turned(dy, -positions, base), None


rotary = Rule(rotary_fwd, rotary_bwd)


def _turned(x: jax.Array, positions: jax.Array, base: float) -> jax.Array:
    """x turned by positions · θ, in float32 at least."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    half = x.shape[3] // 2
    theta = base ** (-jnp.arange(half, dtype=wide) / half)
    angle = positions.astype(wide)[..., None, None] * theta
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    a, b = x[..., :half].astype(wide), x[..., half:].astype(wide)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x.dtype)
