"""Images made larger or smaller, by the nearest pixel or between the two nearest ones."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from manual.lookup import lookup
from manual.rules._windows import Size, both
from manual.rules.rule import Rule

__all__ = ["resize", "resize_bwd", "resize_fwd"]


def resize_fwd(
    x: jax.Array, *, size: Size, method: str = "bilinear"
) -> tuple[jax.Array, tuple[jax.Array]]:
    """y_b,p,q,c = Σ_uv A_pu B_qv x_b,u,v,c, with a row of A for each row of y.

    The middle of row p of y lies at u = (p + ½) height/size − ½ of x. "bilinear" gives the two rows
    beside it the weights 1 − |u − row|, and the row at the border all that lies beyond it;
    "nearest" gives all to the row that u is in. As `jax.image.resize` without antialiasing.

    Shapes: x (batch, height, width, c), floating; size, (p, q) or one number for both -> y (batch,
    p, q, c).

    Raises:
        AssertionError: if x is not a floating array of four axes.
        ValueError: if the size is not positive, or there is no such method.
    """
    chex.assert_rank(x, 4)
    chex.assert_type(x, float)
    a, b = _weights(x.shape[1:3], size, method, x.dtype)
    # x[:0] has no bytes, but x's shape.
    return jnp.einsum("pu,qv,buvc->bpqc", a, b, x, optimize="optimal"), (x[:0],)


def resize_bwd(
    residuals: tuple[jax.Array], dy: jax.Array, *, size: Size, method: str = "bilinear"
) -> tuple[jax.Array]:
    """dx_b,u,v,c = Σ_pq A_pu B_qv dy_b,p,q,c: y is linear in x, and this is the transpose."""
    (empty,) = residuals
    a, b = _weights(empty.shape[1:3], size, method, dy.dtype)
    return (jnp.einsum("pu,qv,bpqc->buvc", a, b, dy, optimize="optimal"),)


resize = Rule(resize_fwd, resize_bwd)


def _bilinear(at: np.ndarray, n: int) -> np.ndarray:
    rows = np.arange(n)
    return np.maximum(0, 1 - np.abs(np.clip(at, 0, n - 1)[:, None] - rows))


def _nearest(at: np.ndarray, n: int) -> np.ndarray:
    return (np.floor(at + 0.5)[:, None] == np.arange(n)).astype(float)


_METHODS = {"bilinear": _bilinear, "nearest": _nearest}


def _weights(image: tuple[int, ...], size: Size, method: str, dtype: jnp.dtype) -> list[jax.Array]:
    """A and B: (p, height) and (q, width)."""
    make = lookup("method of resize", _METHODS, method)
    return [
        jnp.asarray(make((np.arange(new) + 0.5) * (old / new) - 0.5, old), dtype)
        for old, new in zip(image, both("size", size), strict=True)
    ]
