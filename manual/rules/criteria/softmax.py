"""Softmax, its logarithm, and the log-sum-exp, along one axis.

Σ is along the axis. The largest number is subtracted first, so that nothing overflows. The softmax
of a row of −∞ alone, or with +∞, is not defined, and gives NaN. In float32 at least; results have
x's dtype.
"""

import chex
import jax
import jax.numpy as jnp

from manual.rules.rule import Rule

__all__ = [
    "log_softmax", "log_softmax_bwd", "log_softmax_fwd", "logsumexp", "logsumexp_bwd",
    "logsumexp_fwd", "softmax", "softmax_bwd", "softmax_fwd",
]  # fmt: skip

Powers = tuple[jax.Array, jax.Array]
"""e^(x − c), c the largest number, and its sum, which has that axis except in `logsumexp`."""


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _exponentials(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x − c, e^(x − c) and its sum, c the largest number."""
    shifted = _wide(x) - _largest(x, axis)
    powers = jnp.exp(shifted)
    return shifted, powers, powers.sum(axis=axis, keepdims=True)


def _largest(x: jax.Array, axis: int) -> jax.Array:
    chex.assert_type(x, float)
    return _wide(x).max(axis=axis, keepdims=True)


def softmax_fwd(x: jax.Array, *, axis: int = -1) -> tuple[jax.Array, Powers]:
    """y = eˣ/Σ eˣ.

    Shapes: x any shape with that axis, floating -> y like x.

    Raises:
        AssertionError: if x is not floating.
    """
    _, powers, total = _exponentials(x, axis)
    return (powers / total).astype(x.dtype), (powers.astype(x.dtype), total)


def softmax_bwd(residuals: Powers, dy: jax.Array, *, axis: int = -1) -> tuple[jax.Array]:
    """dx = y ⊙ (dy − Σ dy y)   (Bridle 1990).

    ∂y_j/∂x_k = y_j (1[j = k] − y_k), hence dx_k = Σ_j dy_j y_j (1[j = k] − y_k). The exponentials
    are kept, of which y is made again: XLA's CPU then sums without waiting for y to be written.
    """
    powers, total = residuals
    wide, wide_dy = _wide(powers), _wide(dy)
    mean = (wide * wide_dy).sum(axis=axis, keepdims=True) / total
    return (((wide / total) * (wide_dy - mean)).astype(dy.dtype),)


softmax = Rule(softmax_fwd, softmax_bwd)


def log_softmax_fwd(x: jax.Array, *, axis: int = -1) -> tuple[jax.Array, Powers]:
    """y = x − log Σ eˣ.

    Shapes: x any shape with that axis, floating -> y like x.

    Raises:
        AssertionError: if x is not floating.
    """
    shifted, powers, total = _exponentials(x, axis)
    y = (shifted - jnp.log(total)).astype(x.dtype)
    return y, (powers.astype(x.dtype), total)


def log_softmax_bwd(residuals: Powers, dy: jax.Array, *, axis: int = -1) -> tuple[jax.Array]:
    """dx = dy − p Σ dy.

    ∂y_j/∂x_k = 1[j = k] − p_k with p = eʸ = e^(x − c)/Σ e^(x − c), the softmax. The exponentials
    are kept: to compute them again from y takes longer than to read them.
    """
    powers, total = residuals
    wide = _wide(dy)
    dx = wide - _wide(powers) * (wide.sum(axis=axis, keepdims=True) / total)
    return (dx.astype(dy.dtype),)


log_softmax = Rule(log_softmax_fwd, log_softmax_bwd)


def logsumexp_fwd(x: jax.Array, *, axis: int = -1) -> tuple[jax.Array, Powers]:
    """y = log Σ eˣ, which is −∞ of a row of −∞ alone, and +∞ of one with +∞.

    Shapes: x any shape with that axis, floating -> y without it.

    Raises:
        AssertionError: if x is not floating.
    """
    largest = _largest(x, axis).squeeze(axis)
    # Of two infinities the difference is no number.
    largest = jnp.where(jnp.isfinite(largest), largest, 0)
    powers = jnp.exp(_wide(x) - jnp.expand_dims(largest, axis))
    total = powers.sum(axis=axis)
    y = largest + jnp.log(total)
    return y.astype(x.dtype), (powers.astype(x.dtype), total)


def logsumexp_bwd(residuals: Powers, dy: jax.Array, *, axis: int = -1) -> tuple[jax.Array]:
    """dx = dy e^(x − c)/Σ e^(x − c): the slope of log Σ eˣ is the softmax."""
    powers, total = residuals
    along = jnp.expand_dims(_wide(dy) / total, axis)
    return ((_wide(powers) * along).astype(dy.dtype),)


logsumexp = Rule(logsumexp_fwd, logsumexp_bwd)
