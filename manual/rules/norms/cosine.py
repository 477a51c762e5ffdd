"""The cosine of the angle between two vectors."""

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules.rule import Rule

__all__ = ["cosine_similarity", "cosine_similarity_bwd", "cosine_similarity_fwd"]

Pair = tuple[jax.Array, jax.Array]


def cosine_similarity_fwd(
    a: jax.Array, b: jax.Array, *, epsilon: float = 1e-8
) -> tuple[jax.Array, Pair]:
    """y = Σ a b r s,  r = 1/√max(Σ a², ε²),  s = 1/√max(Σ b², ε²), Σ over the last axis.

    Shapes: a and b (..., c) alike, one dtype -> y (...).

    Raises:
        AssertionError: if shapes or dtypes differ.
    """
    chex.assert_equal_shape([a, b])
    chex.assert_type(b, a.dtype)
    (r, _), (s, _) = _reciprocal(a, epsilon), _reciprocal(b, epsilon)
    return (_along(a, b) * r * s).squeeze(-1).astype(a.dtype), (a, b)


def cosine_similarity_bwd(residuals: Pair, dy: jax.Array, *, epsilon: float = 1e-8) -> Pair:
    """da = dy r (b s − y a r),  db = dy s (a r − y b s).

    ∂r/∂a = −r³ a, so ∂y/∂a = b r s − (Σ a b) s r³ a: of the unit vector b s what is at right angles
    to a, over the length of a. A vector shorter than ε has the constant r = 1/ε, and da = dy r b s.

    Kink: at Σ a² = ε² the side of the longer vectors counts.
    """
    a, b = residuals
    (r, long_a), (s, long_b) = _reciprocal(a, epsilon), _reciprocal(b, epsilon)
    y, dy = _along(a, b) * r * s, dy[..., None].astype(r.dtype)
    da = (dy * r * s) * b - jnp.where(long_a, dy * y * r * r, 0) * a
    db = (dy * r * s) * a - jnp.where(long_b, dy * y * s * s, 0) * b
    return da.astype(a.dtype), db.astype(b.dtype)


cosine_similarity = Rule(cosine_similarity_fwd, cosine_similarity_bwd)


def _along(a: jax.Array, b: jax.Array) -> jax.Array:
    """Σ a b, in float32 at least; the axis stays."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.sum(a.astype(wide) * b.astype(wide), axis=-1, keepdims=True)


def _reciprocal(a: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array]:
    """r, and whether a is no shorter than ε."""
    squared = _along(a, a)
    return lax.rsqrt(jnp.maximum(squared, epsilon**2)), squared >= epsilon**2
