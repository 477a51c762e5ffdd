"""Softmax, its logarithm, and the log-sum-exp, along one axis.

Σ is along the axis. The largest number is subtracted first, so that nothing overflows; a row of −∞
alone is not defined, and gives NaN. In float32 at least; results have x's dtype.
"""

import jax
import jax.numpy as jnp

from manual.rules.rule import Rule

__all__ = [
    "log_softmax", "log_softmax_bwd", "log_softmax_fwd", "logsumexp", "logsumexp_bwd",
    "logsumexp_fwd", "softmax", "softmax_bwd", "softmax_fwd",
]  # fmt: skip

Kept = tuple[jax.Array]
"""y."""


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _exponentials(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x − c, e^(x − c) and its sum, c the largest number."""
    shifted = _wide(x) - _wide(x).max(axis=axis, keepdims=True)
    powers = jnp.exp(shifted)
    return shifted, powers, powers.sum(axis=axis, keepdims=True)


def softmax_fwd(x: jax.Array, *, axis: int = -1) -> tuple[jax.Array, Kept]:
    """y = eˣ/Σ eˣ.

    Shapes: x any shape with that axis, floating -> y like x.
    """
    _, powers, total = _exponentials(x, axis)
    y = (powers / total).astype(x.dtype)
    return y, (y,)


def softmax_bwd(residuals: Kept, dy: jax.Array, *, axis: int = -1) -> tuple[jax.Array]:
    """dx = y ⊙ (dy − Σ dy y)   (Bridle 1990).

    ∂y_j/∂x_k = y_j (1[j = k] − y_k), hence dx_k = Σ_j dy_j y_j (1[j = k] − y_k).
    """
    (y,) = residuals
    wide, dy = _wide(y), _wide(dy)
    return ((wide * (dy - jnp.sum(dy * wide, axis=axis, keepdims=True))).astype(y.dtype),)


softmax = Rule(softmax_fwd, softmax_bwd)


def log_softmax_fwd(x: jax.Array, *, axis: int = -1) -> tuple[jax.Array, Kept]:
    """y = x − log Σ eˣ.

    Shapes: x any shape with that axis, floating -> y like x.
    """
    shifted, _, total = _exponentials(x, axis)
    y = (shifted - jnp.log(total)).astype(x.dtype)
    return y, (y,)


def log_softmax_bwd(residuals: Kept, dy: jax.Array, *, axis: int = -1) -> tuple[jax.Array]:
    """dx = dy − eʸ Σ dy.

    ∂y_j/∂x_k = 1[j = k] − p_k with p = eʸ, the softmax.
    """
    (y,) = residuals
    wide = _wide(dy)
    dx = wide - jnp.exp(_wide(y)) * wide.sum(axis=axis, keepdims=True)
    return (dx.astype(y.dtype),)


log_softmax = Rule(log_softmax_fwd, log_softmax_bwd)


def logsumexp_fwd(x: jax.Array, *, axis: int = -1) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """y = log Σ eˣ.

    Shapes: x any shape with that axis, floating -> y without it.
    """
    largest = _wide(x).max(axis=axis)
    _, _, total = _exponentials(x, axis)
    y = largest + jnp.log(total.squeeze(axis))
    return y.astype(x.dtype), (x, y)


def logsumexp_bwd(
    residuals: tuple[jax.Array, jax.Array], dy: jax.Array, *, axis: int = -1
) -> tuple[jax.Array]:
    """dx = dy e^(x − y): the slope of log Σ eˣ is the softmax."""
    x, y = residuals
    along = lambda a: jnp.expand_dims(_wide(a), axis)  # noqa: E731
    return ((along(dy) * jnp.exp(_wide(x) - along(y))).astype(x.dtype),)


logsumexp = Rule(logsumexp_fwd, logsumexp_bwd)
