"""The dense (fully connected, affine) layer."""

import functools

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules.tie import tie

__all__ = ["dense", "dense_bwd", "dense_fwd"]

_FEW_OUTPUTS = 64
"""Up to here a CPU multiplies faster by a transposed copy (measured, xᵀ dy of 128×512: 0.4 of the
time at 10 outputs, 0.7 at 64 and at 512, where the copy is no longer small beside the result)."""


def dense_fwd(x: jax.Array, w: jax.Array, b: jax.Array):
    """y = x w + b.

    Shapes: x (batch, n_in), w (n_in, n_out), b (n_out,) -> y (batch, n_out).
    """
    chex.assert_rank([x, w, b], [2, 2, 1])
    chex.assert_type([w, b], jnp.result_type(x))
    return x @ w + b[None, :], (x, w)


def dense_bwd(residuals: tuple[jax.Array, jax.Array], dy: jax.Array):
    """dx = dy wᵀ,  dw = xᵀ dy,  db = Σ_batch dy.

    From y_ij = Σ_k x_ik w_kj + b_j, by the chain rule:
        ∂L/∂x_ik = Σ_j dy_ij w_kj,  ∂L/∂w_kj = Σ_i x_ik dy_ij,  ∂L/∂b_j = Σ_i dy_ij.

    In the δ notation of the textbooks (Nielsen 2015, ch. 2, BP2 to BP4), with columns as examples:
    δ(l) = (W(l+1))ᵀ δ(l+1) ⊙ f′(z(l)),  ∂L/∂W(l) = δ(l) a(l−1)ᵀ,  ∂L/∂b(l) = δ(l) summed.
    """
    x, w = residuals
    return dy @ w.T, _transposed(x, w.shape[1]) @ dy, dy.sum(axis=0)


@functools.partial(jax.jit, static_argnames="n_out")
def _transposed(x: jax.Array, n_out: int) -> jax.Array:
    """xᵀ, on a CPU as an array of its own where few outputs follow.

    XLA folds a transpose into the product, and on a CPU sums over the rows of both factors slowly.
    """
    if n_out > _FEW_OUTPUTS:
        return x.T
    return lax.platform_dependent(
        x, cpu=lambda x: lax.optimization_barrier(x.T), default=jnp.transpose
    )


dense = tie(dense_fwd, dense_bwd)
