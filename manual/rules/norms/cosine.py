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
    unit_a, unit_b = _unit(a, epsilon)[0], _unit(b, epsilon)[0]
    return jnp.sum(unit_a * unit_b, axis=-1).astype(a.dtype), (a, b)


def cosine_similarity_bwd(residuals: Pair, dy: jax.Array, *, epsilon: float = 1e-8) -> Pair:
    """da = dy r (b s − y a r),  db = dy s (a r − y b s).

    ∂r/∂a = −r³ a, so ∂y/∂a = b r s − (Σ a b) s r³ a: of the unit vector b s what is at right angles
    to a, over the length of a. A vector shorter than ε has the constant r = 1/ε, and da = dy r b s.

    Kink: at Σ a² = ε² the side of the longer vectors counts.
    """
    a, b = residuals
    (unit_a, r, long_a), (unit_b, s, long_b) = _unit(a, epsilon), _unit(b, epsilon)
    dy = dy[..., None].astype(unit_a.dtype)
    y = jnp.sum(unit_a * unit_b, axis=-1, keepdims=True)
    da = dy * r * (unit_b - jnp.where(long_a, y, 0) * unit_a)
    db = dy * s * (unit_a - jnp.where(long_b, y, 0) * unit_b)
    return da.astype(a.dtype), db.astype(b.dtype)


cosine_similarity = Rule(cosine_similarity_fwd, cosine_similarity_bwd)


def _unit(a: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """a r, r, and whether a is no shorter than ε; in float32 at least."""
    a = a.astype(jnp.promote_types(a.dtype, jnp.float32))
    squared = jnp.sum(a * a, axis=-1, keepdims=True)
    r = lax.rsqrt(jnp.maximum(squared, epsilon**2))
    return a * r, r, squared >= epsilon**2
