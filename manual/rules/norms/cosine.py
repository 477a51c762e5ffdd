"""The cosine of the angle between two vectors."""

import chex
import jax
import jax.numpy as jnp

from manual.rules._requirements import require_epsilon, require_last_axis
from manual.rules.rule import Rule

__all__ = ["cosine_similarity", "cosine_similarity_bwd", "cosine_similarity_fwd"]

Pair = tuple[jax.Array, jax.Array]


def cosine_similarity_fwd(
    a: jax.Array, b: jax.Array, *, epsilon: float = 1e-8
) -> tuple[jax.Array, Pair]:
    """y = Σ a b / (r s),  r = √max(Σ a², ε²),  s = √max(Σ b², ε²),  Σ over the last axis.

    Shapes: a and b (..., c) alike, one dtype -> y (...).

    Raises:
        AssertionError: if shapes or dtypes differ, or are not floating.
        ValueError: if they are scalars, or epsilon is negative.
    """
    require_last_axis("cosine_similarity", "a", a)
    require_epsilon("cosine_similarity", epsilon)
    chex.assert_equal_shape([a, b])
    chex.assert_type([a, b], [float, a.dtype])
    (r, _), (s, _) = _length(a, epsilon), _length(b, epsilon)
    return (_along(a, b) / (r * s)).squeeze(-1).astype(a.dtype), (a, b)


def cosine_similarity_bwd(residuals: Pair, dy: jax.Array, *, epsilon: float = 1e-8) -> Pair:
    """da = dy/(r s) b − dy y/r² a,  db = dy/(r s) a − dy y/s² b.

    ∂r/∂a = a/r, so ∂y/∂a = b/(r s) − Σ a b/(r² s) a/r: of the unit vector b/s what is at right
    angles to a, over the length of a. A vector shorter than ε has the constant r = ε, and
    da = dy/(r s) b.

    Kink: at Σ a² = ε² the side of the longer vectors counts.

    With reciprocals in place of the quotients XLA makes a program of eight kernels, and runs so few
    one after another: 1.15 of the time of `jax.grad` on two cores, where this takes 1.00.
    """
    a, b = residuals
    (r, long_a), (s, long_b) = _length(a, epsilon), _length(b, epsilon)
    across = dy[..., None].astype(r.dtype) / (r * s)
    own = _along(a, b) * across / (r * s)  # dy y / (r s)
    da = across * b - jnp.where(long_a, own * s / r, 0) * a
    db = across * a - jnp.where(long_b, own * r / s, 0) * b
    return da.astype(a.dtype), db.astype(b.dtype)


cosine_similarity = Rule(cosine_similarity_fwd, cosine_similarity_bwd)


def _along(a: jax.Array, b: jax.Array) -> jax.Array:
    """Σ a b, in float32 at least; the axis stays."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.sum(a.astype(wide) * b.astype(wide), axis=-1, keepdims=True)


def _length(a: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array]:
    """r, and whether a is no shorter than ε."""
    squared = _along(a, a)
    return jnp.sqrt(jnp.maximum(squared, epsilon**2)), squared >= epsilon**2
