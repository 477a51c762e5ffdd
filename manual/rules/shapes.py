"""Rules that move numbers and compute little: the residual connection, and flattening."""

import math

import chex
import jax

from manual.rules.rule import Rule

__all__ = [
    "flatten",
    "flatten_bwd",
    "flatten_fwd",
    "residual",
    "residual_bwd",
    "residual_fwd",
]


def residual_fwd(x: jax.Array, branch: jax.Array) -> tuple[jax.Array, tuple[()]]:
    """y = x + f(x), with `branch` = f(x)   (He et al. 2016, eq. 1).

    Shapes: x and branch alike, one dtype -> y like them.

    Raises:
        AssertionError: if shapes or dtypes differ.
    """
    chex.assert_equal_shape([x, branch])
    chex.assert_type(branch, x.dtype)
    return x + branch, ()


def residual_bwd(residuals: tuple[()], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """dx = dy,  dbranch = dy.

    dy reaches x undiminished, and once more through f: ∂L/∂x = dy (1 + ∂f/∂x), whose 1 no depth
    can make vanish.
    """
    () = residuals
    return dy, dy


residual = Rule(residual_fwd, residual_bwd)


def flatten_fwd(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array]]:
    """y = each example's entries in a row, in row-major order.

    Shapes: x (batch, ...) -> y (batch, the product of the rest).

    Raises:
        AssertionError: if x is a scalar.
    """
    chex.assert_axis_dimension_gteq(x, 0, 0)
    # x[:0] has no bytes, but x's shape.
    return x.reshape(x.shape[0], math.prod(x.shape[1:])), (x[:0],)


def flatten_bwd(residuals: tuple[jax.Array], dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy, put back into x's shape: the entries only moved."""
    (empty,) = residuals
    return (dy.reshape(dy.shape[0], *empty.shape[1:]),)


flatten = Rule(flatten_fwd, flatten_bwd)
