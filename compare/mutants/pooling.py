"""Maximum and average over windows, disjoint and overlapping.

Images are (batch, height, width, channels). dname is the derivative of the loss with respect to
name; z is what is pooled, s the stride, k the window's side.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

PROJECTION = ("w", "b")


def make(seed: int) -> tuple[Any, ...]:
    """Draws a projection of each pixel and a read-out of the pooled 3 × 2 map: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {"w": normal(rng, 2, 4), "b": normal(rng, 4)}
    params |= {"v": normal(rng, 24, 5, scale=0.2), "c": normal(rng, 5)}
    return params, normal(rng, 3, 7, 5, 2), normal(rng, 3, 5)


def make_disjoint(seed: int) -> tuple[Any, ...]:
    """Draws the same network, and images that windows of 2 × 2 cover exactly: (params, x, y)."""
    params, _, y = make(seed)
    return params, normal(np.random.default_rng(seed + 1), 3, 6, 4, 2), y


def overlapping_max_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error with maxima over windows of 3 at strides of 2.

    Source: Krizhevsky et al. (2012, §3.4).
    """
    z = jnp.tanh(x @ params["w"] + params["b"])
    window, stride = (1, 3, 3, 1), (1, 2, 2, 1)
    pooled = jax.lax.reduce_window(z, -jnp.inf, jax.lax.max, window, stride, "VALID")
    out = pooled.reshape(len(x), -1) @ params["v"] + params["c"]
    return jnp.mean((out - y) ** 2)


def disjoint_max_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error with maxima over windows of 2 × 2, cut out by a reshape."""
    z = jnp.tanh(x @ params["w"] + params["b"])
    b, height, width, c = z.shape
    pooled = z.reshape(b, height // 2, 2, width // 2, 2, c).max(axis=(2, 4))
    out = pooled.reshape(b, -1) @ params["v"] + params["c"]
    return jnp.mean((out - y) ** 2)


def average_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error with averages over windows of 2 × 2."""
    z = jnp.tanh(x @ params["w"] + params["b"])
    window = (1, 2, 2, 1)
    pooled = jax.lax.reduce_window(z, 0.0, jax.lax.add, window, window, "VALID") / 4
    out = pooled.reshape(len(x), -1) @ params["v"] + params["c"]
    return jnp.mean((out - y) ** 2)


def windows(z: jax.Array, k: int, s: int) -> Iterator[tuple[int, int, Any]]:
    """Yields each output position (p, q) with the index of its window in z."""
    for p in range((z.shape[1] - k) // s + 1):
        for q in range((z.shape[2] - k) // s + 1):
            yield p, q, (slice(None), slice(p * s, p * s + k), slice(q * s, q * s + k))


def pool(z: jax.Array, k: int, s: int, reduce: Any) -> jax.Array:
    """Reduces every window by `reduce(window, axis)`."""
    shape = (len(z), (z.shape[1] - k) // s + 1, (z.shape[2] - k) // s + 1, z.shape[3])
    pooled = jnp.zeros(shape, z.dtype)
    for p, q, at in windows(z, k, s):
        pooled = pooled.at[:, p, q].set(reduce(z[at], axis=(1, 2)))
    return pooled


def max_bwd(dpooled: jax.Array, z: jax.Array, k: int, s: int) -> jax.Array:
    """dz += dpooled at the largest entry of each window."""
    dz = jnp.zeros_like(z)
    for p, q, at in windows(z, k, s):
        largest = z[at] == z[at].max(axis=(1, 2), keepdims=True)
        dz = dz.at[at].add(largest * dpooled[:, p : p + 1, q : q + 1])
    return dz


def average_bwd(dpooled: jax.Array, z: jax.Array, k: int, s: int) -> jax.Array:
    """dz += dpooled / k² at every entry of each window."""
    dz = jnp.zeros_like(z)
    for p, q, at in windows(z, k, s):
        dz = dz.at[at].add(dpooled[:, p : p + 1, q : q + 1] / k**2)
    return dz


def network(
    params: Any, x: jax.Array, y: jax.Array, k: int, s: int, reduce: Any, pool_bwd: Any
) -> tuple[Any, Any]:
    """Goes from the read-out back through the pool, the tanh and the projection."""
    z = jnp.tanh(x @ params["w"] + params["b"])
    pooled = pool(z, k, s, reduce)
    flat = pooled.reshape(len(x), -1)
    error = flat @ params["v"] + params["c"] - y

    dout = 2 * error / error.size
    dpooled = (dout @ params["v"].T).reshape(pooled.shape)
    du = pool_bwd(dpooled, z, k, s) * (1 - z**2)
    grads = {"w": jnp.einsum("bpqi,bpqo->io", x, du), "b": du.sum(axis=(0, 1, 2))}
    return (error**2).mean(), grads | {"v": flat.T @ dout, "c": dout.sum(axis=0)}


def overlapping_max(
    params: Any, x: jax.Array, y: jax.Array, pool_bwd: Any = max_bwd
) -> tuple[Any, Any]:
    """Computes loss and gradient with maxima over windows of 3 at strides of 2."""
    return network(params, x, y, 3, 2, jnp.max, pool_bwd)


def disjoint_max(
    params: Any, x: jax.Array, y: jax.Array, pool_bwd: Any = max_bwd
) -> tuple[Any, Any]:
    """Computes loss and gradient with maxima over windows of 2 × 2."""
    return network(params, x, y, 2, 2, jnp.max, pool_bwd)


def average(
    params: Any, x: jax.Array, y: jax.Array, pool_bwd: Any = average_bwd
) -> tuple[Any, Any]:
    """Computes loss and gradient with averages over windows of 2 × 2."""
    return network(params, x, y, 2, 2, jnp.mean, pool_bwd)


OVERLAPPING = Original("pooling", overlapping_max_loss, overlapping_max, make)
DISJOINT = Original("pooling", disjoint_max_loss, disjoint_max, make_disjoint)
AVERAGE = Original("pooling", average_loss, average, make_disjoint)


@OVERLAPPING.mutant("overwritten_not_accumulated", *PROJECTION)
def overlapping_windows_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """dz[largest] = ..., not +=: an entry that wins in two windows keeps one gradient."""

    def assign(dpooled: jax.Array, z: jax.Array, k: int, s: int) -> jax.Array:
        dz = jnp.zeros_like(z)
        for p, q, at in windows(z, k, s):
            largest = z[at] == z[at].max(axis=(1, 2), keepdims=True)
            dwindow = dpooled[:, p : p + 1, q : q + 1]
            dz = dz.at[at].set(jnp.where(largest, dwindow, dz[at]))  # bug
        return dz

    return overlapping_max(*inputs, pool_bwd=assign)


@DISJOINT.mutant(None, *PROJECTION, aliases=("wrong_value",))
def maximum_as_average(*inputs: Any) -> tuple[Any, Any]:
    """The gradient is spread over the window, as an average pool would have it."""
    return disjoint_max(*inputs, pool_bwd=average_bwd)  # bug


@DISJOINT.mutant("wrong_places", *PROJECTION)
def gradient_to_the_corner(*inputs: Any) -> tuple[Any, Any]:
    """The place of the maximum is not stored: the first entry of each window gets the gradient."""

    def corner(dpooled: jax.Array, z: jax.Array, k: int, s: int) -> jax.Array:
        del k
        return jnp.zeros_like(z).at[:, ::s, ::s].set(dpooled)  # bug

    return disjoint_max(*inputs, pool_bwd=corner)


@DISJOINT.mutant("mask_missing", *PROJECTION)
def gradient_to_all_of_the_window(*inputs: Any) -> tuple[Any, Any]:
    """The gradient is repeated over the whole window, without the mask of the maximum."""

    def repeat(dpooled: jax.Array, z: jax.Array, k: int, s: int) -> jax.Array:
        del z, s
        return dpooled.repeat(k, axis=1).repeat(k, axis=2)  # bug

    return disjoint_max(*inputs, pool_bwd=repeat)


@AVERAGE.mutant("constant_factor", *PROJECTION)
def window_size_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """Each entry gets the window's gradient and not a quarter of it."""

    def undivided(dpooled: jax.Array, z: jax.Array, k: int, s: int) -> jax.Array:
        return k**2 * average_bwd(dpooled, z, k, s)  # bug

    return average(*inputs, pool_bwd=undivided)


ORIGINALS = (OVERLAPPING, DISJOINT, AVERAGE)
