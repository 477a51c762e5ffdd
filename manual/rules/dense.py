"""The dense (fully connected, affine) layer."""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules.rule import Rule

__all__ = ["dense", "dense_bwd", "dense_fwd"]

Kept = tuple[jax.Array, jax.Array, jax.Array | None]
"""x, w and b."""

_FEW_OUTPUTS = 64
"""Up to here a CPU is faster with (dyᵀ x)ᵀ for the weights' gradient (measured: 0.1 of the time for
128×512 by 10 outputs, 0.2 to 0.3 for 2,050×784 and 8,192×512, 0.6 to 0.9 at 64 outputs, 1.0 at
512)."""

_ROWS_PER_OUTPUT = 8
"""With fewer rows the gradient, which is copied, is no longer small beside x."""


def dense_fwd(x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> tuple[jax.Array, Kept]:
    """y = x w + b, or x w where b is None.

    Shapes: x (..., n_in), w (n_in, n_out), b (n_out,) -> y (..., n_out). Every axis of x but the
    last is an example.

    Raises:
        AssertionError: if shapes or dtypes are not these.
    """
    chex.assert_rank(w, 2)
    chex.assert_axis_dimension_gteq(x, 0, 0)
    chex.assert_axis_dimension(x, -1, w.shape[0])
    chex.assert_type(w, jnp.result_type(x))
    y = x @ w
    if b is None:
        return y, (x, w, None)
    chex.assert_shape(b, w.shape[1:])
    chex.assert_type(b, jnp.result_type(x))
    return y + b, (x, w, b)


def dense_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array, jax.Array, Any]:
    """dx = dy wᵀ,  dw = xᵀ dy,  db = Σ_batch dy.

    From y_ij = Σ_k x_ik w_kj + b_j, by the chain rule:
        ∂L/∂x_ik = Σ_j dy_ij w_kj,  ∂L/∂w_kj = Σ_i x_ik dy_ij,  ∂L/∂b_j = Σ_i dy_ij.

    i runs over every axis but the last.

    In the δ notation of the textbooks (Nielsen 2015, ch. 2, BP2 to BP4), with columns as examples:
    δ(l) = (W(l+1))ᵀ δ(l+1) ⊙ f′(z(l)),  ∂L/∂W(l) = δ(l) a(l−1)ᵀ,  ∂L/∂b(l) = δ(l) summed.
    """
    x, w, b = residuals
    dw = _weight_gradient(_rows(x), _rows(dy))
    db = None if b is None else _rows(dy).sum(axis=0)
    return dy @ w.T, dw, db


def _rows(a: jax.Array) -> jax.Array:
    """Every axis but the last as one."""
    return a if a.ndim == 2 else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


@jax.jit
def _weight_gradient(x: jax.Array, dy: jax.Array) -> jax.Array:
    """xᵀ dy, on a CPU with few outputs (dyᵀ x)ᵀ, from a copy of the small dyᵀ.

    XLA folds a transpose into the product, and on a CPU sums over the rows of both factors slowly
    where one is narrow; the barriers keep it from that. The gradient is copied once more, which is
    worth it where it is small beside x.
    """

    def folded(x: jax.Array, dy: jax.Array) -> jax.Array:
        return x.T @ dy

    def by_copies(x: jax.Array, dy: jax.Array) -> jax.Array:
        copy = lax.optimization_barrier
        return copy(copy(dy.T) @ x).T

    rows, outputs = dy.shape
    if outputs <= min(_FEW_OUTPUTS, rows // _ROWS_PER_OUTPUT):
        return lax.platform_dependent(x, dy, cpu=by_copies, default=folded)
    return folded(x, dy)


dense = Rule(dense_fwd, dense_bwd)
