"""Pooling over windows of an image (batch, height, width, channels).

`window`, `stride` (the window itself where None) and `padding` are keyword settings. Padding is
"VALID", "SAME" or ((top, bottom), (left, right)). The work grows with the window's area, which is
small in the networks that pool; for one window over the whole image there is
`global_average_pool`.

None of the derivatives depends on x, so what is kept of it is x[:0]: no bytes, but its shape.
"""

import functools
import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from manual.rules._blocks import in_halves
from manual.rules._means import share_of_mean
from manual.rules._windows import Padding, Size, Windows, fold, unfold, windows
from manual.rules.rule import Rule

__all__ = [
    "avg_pool",
    "avg_pool_bwd",
    "avg_pool_fwd",
    "global_average_pool",
    "global_average_pool_bwd",
    "global_average_pool_fwd",
    "max_pool",
    "max_pool_bwd",
    "max_pool_fwd",
]


def _windows(image: Sequence[int], window: Size, stride: Size | None, padding: Padding) -> Windows:
    return windows(image, window, window if stride is None else stride, padding)


@functools.partial(jax.jit, static_argnames="w")
def _first_maximum(x: jax.Array, *, w: Windows) -> tuple[jax.Array, jax.Array]:
    """The maximum of each window, and the number of the first offset that has it.

    A CPU takes windows that overlap in two halves: else XLA would look for the maxima again for
    each entry of dx (measured, forward and backward, 3×3 stride 2: 0.35 of the time).
    """
    whole = functools.partial(_first_maximum_of, w=w)
    if w.stride == w.window:
        return whole(x)
    return in_halves(whole, x)


def _first_maximum_of(x: jax.Array, *, w: Windows) -> tuple[jax.Array, jax.Array]:
    y, *rest = unfold(x, w, fill=-jnp.inf)
    where = jnp.zeros(y.shape, np.min_scalar_type(math.prod(w.window) - 1))
    for k, candidate in enumerate(rest, start=1):
        # Not "candidate > y", which a NaN never is; one that has come out stays.
        beaten = ~(candidate <= y) & (y == y)
        y = jnp.where(beaten, candidate, y)
        where = jnp.where(beaten, jnp.asarray(k, where.dtype), where)
    return y, where


def max_pool_fwd(
    x: jax.Array,
    *,
    window: Size = (2, 2),
    stride: Size | None = None,
    padding: Padding = "VALID",
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """y = the maximum of each window.

    Kept is where in its window the maximum was: a byte for each entry of y, and nothing of x.

    Shapes: x (b, h, w, c), floating -> y (b, p, q, c). Padding counts as −∞. A NaN in the window
    comes out.

    Raises:
        AssertionError: if x is not a floating array of four axes.
        ValueError: if a setting is none of those allowed, or no window fits.
    """
    chex.assert_rank(x, 4)
    chex.assert_type(x, float)
    w = _windows(x.shape[1:3], window, stride, padding)
    y, where = _first_maximum(x, w=w)
    return y, (where, x[:0])


def max_pool_bwd(
    residuals: tuple[jax.Array, jax.Array],
    dy: jax.Array,
    *,
    window: Size = (2, 2),
    stride: Size | None = None,
    padding: Padding = "VALID",
) -> tuple[jax.Array]:
    """dx = Σ dy over the windows whose maximum that entry of x is.

    With k(p, q) the offset at which window (p, q) has its maximum, y_pq = x at k(p, q), so
    ∂y_pq/∂x_uv is 1 where (u, v) lies at that offset of the window and 0 elsewhere. Taken offset by
    offset instead of window by window, it is a sum of shifted arrays and needs no scatter:

        dx_uv = Σ_k [dy ⊙ 1(k(p, q) = k)] at the window (p, q) whose offset k is (u, v).

    Where the stride is the window, an entry has one window and one offset, and the sum is a single
    comparison.

    Kink: among equal maxima the first in row-major order gets the gradient, as autodiff of
    `reduce_window` has it. The first NaN of a window counts as its maximum. Padding ties with an
    entry of −∞, and may take its gradient.
    """
    where, empty = residuals
    w = _windows(empty.shape[1:3], window, stride, padding)
    return (_to_first_maximum(dy, where, w=w),)


max_pool = Rule(max_pool_fwd, max_pool_bwd)


@functools.partial(jax.jit, static_argnames="w")
def _to_first_maximum(dy: jax.Array, where: jax.Array, *, w: Windows) -> jax.Array:
    if w.stride != w.window:
        return fold(lambda k: jnp.where(where == k, dy, 0), w)
    height, width = w.window
    k = np.arange(height * width, dtype=where.dtype).reshape(height, 1, width, 1)
    return _join(jnp.where(_per_window(where) == k, _per_window(dy), 0), w)


def _per_window(a: jax.Array) -> jax.Array:
    """(b, p, q, c) -> (b, p, 1, q, 1, c), to meet an array over the offsets of the windows."""
    return a[:, :, None, :, None, :]


def _join(parts: jax.Array, w: Windows) -> jax.Array:
    """Windows side by side, (b, p, height, q, width, c), as the image that they tile."""
    b, p, height, q, width, c = parts.shape
    tiled = parts.reshape(b, p * height, q * width, c)
    (top, _), (left, _) = w.padding
    pads = [
        (-lead, n + lead - size, 0)
        for lead, n, size in zip((top, left), w.image, tiled.shape[1:3], strict=True)
    ]
    return lax.pad(tiled, jnp.zeros((), tiled.dtype), ((0, 0, 0), *pads, (0, 0, 0)))


def _counts(w: Windows, count_include_pad: bool) -> np.ndarray:
    """How many entries each window averages: (), or (p, q, 1) where padding does not count."""
    if count_include_pad:
        return np.asarray(math.prod(w.window))
    rows, columns = (
        np.array([sum(0 <= at * s + i - lead < n for i in range(k)) for at in range(out)])
        for out, s, (lead, _), n, k in zip(
            w.out, w.stride, w.padding, w.image, w.window, strict=True
        )
    )
    return rows[:, None, None] * columns[None, :, None]


def avg_pool_fwd(
    x: jax.Array,
    *,
    window: Size = (2, 2),
    stride: Size | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> tuple[jax.Array, tuple[jax.Array]]:
    """y = the sum of each window over its count n.

    n is the window's area, padding included, as in flax; with `count_include_pad=False` it is the
    number of entries of x in the window.

    Shapes: x (b, h, w, c), floating -> y (b, p, q, c).

    Raises:
        AssertionError: if x is not a floating array of four axes.
        ValueError: if a setting is none of those allowed, or no window fits.
    """
    chex.assert_rank(x, 4)
    chex.assert_type(x, float)
    w = _windows(x.shape[1:3], window, stride, padding)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    total = jnp.asarray(sum(unfold(wide, w)))
    return (total / _counts(w, count_include_pad)).astype(x.dtype), (x[:0],)


def avg_pool_bwd(
    residuals: tuple[jax.Array],
    dy: jax.Array,
    *,
    window: Size = (2, 2),
    stride: Size | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> tuple[jax.Array]:
    """dx = Σ dy/n over the windows that contain that entry of x.

    y_pq = 1/n_pq Σ_k (x at offset k of the window), so ∂y_pq/∂x_uv = 1/n_pq for every (u, v) in the
    window; n depends on no entry of x.
    """
    (empty,) = residuals
    w = _windows(empty.shape[1:3], window, stride, padding)
    share = dy.astype(jnp.promote_types(dy.dtype, jnp.float32)) / _counts(w, count_include_pad)
    if w.stride == w.window:
        b, p, q, c = share.shape
        everywhere = jnp.broadcast_to(_per_window(share), (b, p, w.window[0], q, w.window[1], c))
        return (_join(everywhere, w).astype(dy.dtype),)
    return (fold(lambda _: share, w).astype(dy.dtype),)


avg_pool = Rule(avg_pool_fwd, avg_pool_bwd)


def global_average_pool_fwd(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array]]:
    """y = 1/(h w) Σ_hw x   (Lin et al. 2013, §3.2).

    Shapes: x (b, h, w, c), floating -> y (b, c).

    Raises:
        AssertionError: if x is not a floating array of four axes.
    """
    chex.assert_rank(x, 4)
    chex.assert_type(x, float)
    return x.mean(axis=(1, 2)), (x[:0],)


def global_average_pool_bwd(residuals: tuple[jax.Array], dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy/(h w), the same at every pixel."""
    (empty,) = residuals
    _, height, width, _ = empty.shape
    b, c = dy.shape
    share = share_of_mean(dy, height * width).astype(dy.dtype)
    return (jnp.broadcast_to(share[:, None, None, :], (b, height, width, c)),)


global_average_pool = Rule(global_average_pool_fwd, global_average_pool_bwd)
