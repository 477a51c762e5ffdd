"""The gated linear unit (Dauphin et al. 2017): one half of the features gates the other.

σ is the logistic function; x = [a, b] is split in two on the last axis.
"""

import jax
import jax.numpy as jnp

from manual.rules._sigmoids import sigmoid_of, sigmoids
from manual.rules.rule import Rule

__all__ = ["glu", "glu_bwd", "glu_fwd"]


def glu_fwd(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array]]:
    """y = a σ(b),  [a, b] = x.

    Shapes: x (..., 2 c), floating -> y (..., c).

    Raises:
        ValueError: if the last axis cannot be halved.
    """
    if x.ndim == 0 or x.shape[-1] % 2:
        raise ValueError(f"glu halves the last axis, whose length must be even; got {x.shape}")
    a, b = jnp.split(x, 2, axis=-1)
    return a * sigmoid_of(b, b >= 0), (x,)


def glu_bwd(residuals: tuple[jax.Array], dy: jax.Array) -> tuple[jax.Array]:
    """da = dy σ(b),  db = dy a σ(b) (1 − σ(b)),  dx = [da, db]   (Dauphin et al. 2017, §3).

    The product rule, and σ′ = σ (1 − σ). a's path has no factor that saturates: where the gate is
    open, dy passes undiminished. σ(b) is rebuilt from x, and 1 − σ(b) is taken as σ(−b), which
    keeps its digits where the gate is open.
    """
    (x,) = residuals
    a, b = jnp.split(x, 2, axis=-1)
    gate, _, slope = sigmoids(b, b >= 0)
    return (jnp.concatenate([dy * gate, dy * a * slope], axis=-1),)


glu = Rule(glu_fwd, glu_bwd)
