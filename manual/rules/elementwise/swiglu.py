"""The gate of Llama's feed-forward layers (Shazeer 2020): x = [a, b] is split on the last axis."""

import jax
import jax.numpy as jnp

from manual.rules.activations import silu_bwd, silu_fwd
from manual.rules.rule import Rule

__all__ = ["swiglu", "swiglu_bwd", "swiglu_fwd"]


def swiglu_fwd(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array]]:
    """y = a σ(a) b,  [a, b] = x.

    Shapes: x (..., 2 c), floating -> y (..., c).

    Raises:
        ValueError: if the last axis cannot be halved.
    """
    if x.ndim == 0 or x.shape[-1] % 2:
        raise ValueError(f"swiglu halves the last axis, whose length must be even; got {x.shape}")
    a, b = jnp.split(x, 2, axis=-1)
    return silu_fwd(a)[0] * b, (x,)


def swiglu_bwd(residuals: tuple[jax.Array], dy: jax.Array) -> tuple[jax.Array]:
    """da = dy b silu′(a),  db = dy silu(a),  dx = [da, db]   (Shazeer 2020, eq. 5, for y).

    The product rule on y = silu(a) b; `silu_bwd` derives silu′.
    """
    (x,) = residuals
    a, b = jnp.split(x, 2, axis=-1)
    (da,) = silu_bwd((a,), dy * b)
    return (jnp.concatenate([da, dy * silu_fwd(a)[0]], axis=-1),)


swiglu = Rule(swiglu_fwd, swiglu_bwd)
