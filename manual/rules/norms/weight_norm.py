"""Weight normalisation (Salimans & Kingma 2016): a weight as a direction and a length."""

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules.rule import Rule

__all__ = ["weight_norm", "weight_norm_bwd", "weight_norm_fwd"]


def weight_norm_fwd(
    v: jax.Array, g: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    """w = g v̂,  v̂ = v r,  r = 1/|v|, the length taken for each output over all other axes.

    Shapes: v (..., n_out), g (n_out,) of one dtype -> w like v. A column of v that is 0 has no
    direction, and gives NaN.

    Raises:
        AssertionError: if the shapes are not these, or the dtypes differ.
    """
    chex.assert_shape(g, v.shape[-1:])
    chex.assert_type([v, g], [float, v.dtype])
    wide = v.astype(jnp.promote_types(v.dtype, jnp.float32))
    r = lax.rsqrt(jnp.sum(wide * wide, axis=tuple(range(v.ndim - 1))))
    return (wide * r * g).astype(v.dtype), (v, g, r)


def weight_norm_bwd(
    residuals: tuple[jax.Array, jax.Array, jax.Array], dw: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """dg = Σ dw v̂,  dv = g r (dw − v̂ dg)   (Salimans & Kingma 2016, eq. 3).

    ∂r/∂v = −r³ v, so dv = g r dw − g r³ v Σ dw v: dw without its component along v, which only
    turns v and never changes its length.
    """
    v, g, r = residuals
    unit, dw = v.astype(r.dtype) * r, dw.astype(r.dtype)
    dg = jnp.sum(dw * unit, axis=tuple(range(v.ndim - 1)))
    return (g * r * (dw - unit * dg)).astype(v.dtype), dg.astype(g.dtype)


weight_norm = Rule(weight_norm_fwd, weight_norm_bwd)
