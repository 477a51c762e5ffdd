"""The share of a mean that each entry has in its cotangent."""

import jax
import jax.numpy as jnp

__all__ = ["share_of_mean"]


def share_of_mean(d_mean: jax.Array, n: int) -> jax.Array:
    """Returns d_mean/n, in float32 at least.

    In float16 a number above 65,504 is infinite, and the share would be 0. It is narrowed once it
    is multiplied.
    """
    return d_mean.astype(jnp.promote_types(d_mean.dtype, jnp.float32)) / n
