"""Images made larger or smaller, by the nearest pixel or between the two nearest ones."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from manual.lookup import lookup
from manual.rules._windows import Size, both
from manual.rules.rule import Rule

__all__ = ["resize", "resize_bwd", "resize_fwd"]

_FEW = 16
"""Of up to so many pixels, weighed and added one by one, a sum is faster than by products with
whole matrices or by scattering (measured on a CPU, "nearest" to twice the size and back: 0.2 of the
time at three channels, 0.3 at 16, with no array in between)."""


def resize_fwd(
    x: jax.Array, *, size: Size, method: str = "bilinear"
) -> tuple[jax.Array, tuple[jax.Array]]:
    """y_b,p,q,c = Σ_uv A_pu B_qv x_b,u,v,c, with a row of A for each row of y.

    The middle of row p of y lies at u = (p + ½) height/size − ½ of x. "bilinear" gives the two rows
    beside it the weights 1 − |u − row|, and the row at the border all that lies beyond it;
    "nearest" gives all to the row that u is in. As `jax.image.resize` without antialiasing. Most of
    A and B is 0: where few terms are left, only those are taken.

    Shapes: x (batch, height, width, c), floating; size, (p, q) or one number for both -> y (batch,
    p, q, c).

    Raises:
        AssertionError: if x is not a floating array of four axes.
        ValueError: if the size is not positive, or there is no such method.
    """
    chex.assert_rank(x, 4)
    chex.assert_type(x, float)
    a, b = _weights(x.shape[1:3], size, method)
    # x[:0] has no bytes, but x's shape.
    return _product(x, a, b, exact=method == "nearest"), (x[:0],)


def resize_bwd(
    residuals: tuple[jax.Array], dy: jax.Array, *, size: Size, method: str = "bilinear"
) -> tuple[jax.Array]:
    """dx_b,u,v,c = Σ_pq A_pu B_qv dy_b,p,q,c: y is linear in x, and this is the transpose.

    Of "nearest" it is the sum over the pixels of y that are copies of x_b,u,v,c.
    """
    (empty,) = residuals
    a, b = _weights(empty.shape[1:3], size, method)
    return (_product(dy, a.T, b.T, exact=method == "nearest"),)


resize = Rule(resize_fwd, resize_bwd)


def _bilinear(at: np.ndarray, n: int) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(np.clip(at, 0, n - 1)[:, None] - np.arange(n)))


def _nearest(at: np.ndarray, n: int) -> np.ndarray:
    return (np.floor(at + 0.5)[:, None] == np.arange(n)).astype(float)


_METHODS = {"bilinear": _bilinear, "nearest": _nearest}


def _weights(image: tuple[int, ...], size: Size, method: str) -> list[np.ndarray]:
    """A and B: (p, height) and (q, width)."""
    make = lookup("method of resize", _METHODS, method)
    return [
        make((np.arange(new) + 0.5) * (old / new) - 0.5, old)
        for old, new in zip(image, both("size", size), strict=True)
    ]


def _product(x: jax.Array, a: np.ndarray, b: np.ndarray, *, exact: bool) -> jax.Array:
    """Σ_uv A_pu B_qv x_b,u,v,c, on accelerators by matrix products unless it must be `exact`."""
    by_matrices = functools.partial(_by_matrices, a=a, b=b)
    by_terms = functools.partial(_by_terms, a=a, b=b)
    if max(np.count_nonzero(a, axis=1)) * max(np.count_nonzero(b, axis=1)) > _FEW:
        return _scattered(x, a, b) if exact else by_matrices(x)
    return by_terms(x) if exact else lax.platform_dependent(x, cpu=by_terms, default=by_matrices)


def _by_matrices(x: jax.Array, a: np.ndarray, b: np.ndarray) -> jax.Array:
    rows, columns = jnp.asarray(a.T, x.dtype), jnp.asarray(b.T, x.dtype)
    return jnp.einsum("buvc,up,vq->bpqc", x, rows, columns, optimize="optimal")


def _by_terms(x: jax.Array, a: np.ndarray, b: np.ndarray) -> jax.Array:
    """One loop over y, which XLA fuses: for each pixel the terms whose weights are not 0."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    example, placed = np.arange(len(x))[:, None, None], jax.typeof(x).sharding
    sharding = None if placed.mesh.empty else placed
    total = jnp.zeros((), wide.dtype)
    for u, in_row in _terms(a):
        for v, in_column in _terms(b):
            weight = (in_row[:, None] * in_column)[..., None]
            at = wide.at[example, u[:, None], v]
            pixel = at.get(mode="promise_in_bounds", out_sharding=sharding)
            if (weight != 1).any():
                pixel = jnp.where(weight == 0, 0, pixel * weight.astype(wide.dtype))
            total = total + pixel
    return total.astype(x.dtype)


def _terms(a: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first entry of each row that is not 0, the second, ...: where it is, and its weight."""
    most = max(np.count_nonzero(a, axis=1))
    order = np.argsort(a == 0, axis=1, kind="stable")[:, :most]
    return [(u, np.take_along_axis(a, u[:, None], axis=1)[:, 0]) for u in order.T]


def _scattered(dy: jax.Array, a: np.ndarray, b: np.ndarray) -> jax.Array:
    """The product with matrices of zeros and ones, with a one in each column: to where it is."""
    wide = dy.astype(jnp.promote_types(dy.dtype, jnp.float32))
    of_rows = jnp.zeros((len(dy), len(a), *dy.shape[2:]), wide.dtype)
    of_rows = of_rows.at[:, a.argmax(axis=0)].add(wide, mode="promise_in_bounds")
    dx = jnp.zeros((*of_rows.shape[:2], len(b), dy.shape[3]), wide.dtype)
    return dx.at[:, :, b.argmax(axis=0)].add(of_rows, mode="promise_in_bounds").astype(dy.dtype)
