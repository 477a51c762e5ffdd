"""The dense (fully connected, affine) layer."""

import chex
import jax
import jax.numpy as jnp

from manual.rules.tie import tie

__all__ = ["dense", "dense_bwd", "dense_fwd"]


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
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


dense = tie(dense_fwd, dense_bwd)
