"""The dense (fully connected, affine) layer."""

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules.rule import Rule

__all__ = ["dense", "dense_bwd", "dense_fwd"]

_FEW_OUTPUTS = 64
"""Up to here a CPU is faster with (dyᵀ x)ᵀ for the weights' gradient (measured: 0.1 of the time for
128×512 by 10 outputs, 0.2 to 0.3 for 2,050×784 and 8,192×512, 0.6 to 0.9 at 64 outputs, 1.0 at
512)."""


def dense_fwd(
    x: jax.Array, w: jax.Array, b: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """y = x w + b.

    Shapes: x (batch, n_in), w (n_in, n_out), b (n_out,) -> y (batch, n_out).
    """
    chex.assert_rank([x, w, b], [2, 2, 1])
    chex.assert_type([w, b], jnp.result_type(x))
    return x @ w + b[None, :], (x, w)


def dense_bwd(
    residuals: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """dx = dy wᵀ,  dw = xᵀ dy,  db = Σ_batch dy.

    From y_ij = Σ_k x_ik w_kj + b_j, by the chain rule:
        ∂L/∂x_ik = Σ_j dy_ij w_kj,  ∂L/∂w_kj = Σ_i x_ik dy_ij,  ∂L/∂b_j = Σ_i dy_ij.

    In the δ notation of the textbooks (Nielsen 2015, ch. 2, BP2 to BP4), with columns as examples:
    δ(l) = (W(l+1))ᵀ δ(l+1) ⊙ f′(z(l)),  ∂L/∂W(l) = δ(l) a(l−1)ᵀ,  ∂L/∂b(l) = δ(l) summed.
    """
    x, w = residuals
    return dy @ w.T, _weight_gradient(x, dy), dy.sum(axis=0)


@jax.jit
def _weight_gradient(x: jax.Array, dy: jax.Array) -> jax.Array:
    """xᵀ dy, on a CPU with few outputs as (dyᵀ x)ᵀ: the two that are transposed are then small.

    XLA folds a transpose into the product, and on a CPU sums over the rows of both factors slowly;
    the barriers keep it from that.
    """
    if dy.shape[1] > _FEW_OUTPUTS:
        return x.T @ dy
    return lax.platform_dependent(x, dy, cpu=_by_small_copies, default=lambda x, dy: x.T @ dy)


def _by_small_copies(x: jax.Array, dy: jax.Array) -> jax.Array:
    copy = lax.optimization_barrier
    return copy(copy(dy.T) @ x).T


dense = Rule(dense_fwd, dense_bwd)
