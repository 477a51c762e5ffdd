"""Layers in the idiom that people write them in (flax's and haiku's), for `jax.grad`.

Rows are examples, images are (batch, height, width, channels). The names, arguments and results are
those of the hand-derived rules.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

__all__ = [
    "avg_pool",
    "batch_norm",
    "batch_norm_inference",
    "conv2d",
    "dense",
    "dropout",
    "embedding",
    "flatten",
    "global_average_pool",
    "glu",
    "group_norm",
    "layer_norm",
    "max_pool",
    "prelu",
    "residual",
    "rms_norm",
]

Size = int | tuple[int, int]
"""Height and width, or one number for both."""


def dense(x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
    """Computes x w + b: x (..., n_in), w (n_in, n_out), b (n_out,) or None -> (..., n_out)."""
    return x @ w if b is None else x @ w + b


def residual(x: jax.Array, branch: jax.Array) -> jax.Array:
    """Adds two arrays of one shape."""
    return x + branch


def flatten(x: jax.Array) -> jax.Array:
    """Puts each example's entries in a row: x (batch, ...) -> (batch, the product of the rest)."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def glu(x: jax.Array) -> jax.Array:
    """Gates one half of the last axis by the other: x (..., 2 c) -> (..., c)."""
    return jax.nn.glu(x)


def prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
    """Multiplies negative entries by their channel's slope: x (..., c), slope (c,) -> (..., c)."""
    return jnp.where(x >= 0, x, slope * x)


def embedding(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Picks the row of each token: table (vocabulary, d), tokens (...) -> (..., d)."""
    return table[tokens]


def dropout(key: jax.Array, x: jax.Array, *, rate: float) -> jax.Array:
    """Drops entries at this rate, and scales the rest by 1 / (1 - rate).

    Shapes: key (), x any shape, floating -> like x.

    Raises:
        ValueError: if rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout's rate must be in [0, 1), got {rate}")
    # In float32 by name, or the mask would change with jax_enable_x64.
    mask = jax.random.bernoulli(key, jnp.float32(1 - rate), x.shape)
    return jnp.where(mask, x / (1 - rate), 0)


def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, epsilon: float = 1e-5
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalises each channel of a batch (Ioffe & Szegedy 2015).

    Shapes: x (..., c), scale and bias (c,) -> y like x, and the batch's mean (c,) and biased
    variance (c,).
    """
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    return batch_norm_inference(x, scale, bias, mean, var, epsilon=epsilon), mean, var


def batch_norm_inference(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    *,
    epsilon: float = 1e-5,
) -> jax.Array:
    """Normalises by a given mean and variance: x (..., c), the others (c,) -> y like x."""
    return (x - mean) * lax.rsqrt(var + epsilon) * scale + bias


def layer_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, epsilon: float = 1e-5
) -> jax.Array:
    """Normalises the last axis (Ba et al. 2016): x (..., c), scale and bias (c,) -> y like x."""
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(var + epsilon) * scale + bias


def rms_norm(x: jax.Array, scale: jax.Array, *, epsilon: float = 1e-6) -> jax.Array:
    """Divides by the root mean square of the last axis (Zhang & Sennrich 2019).

    Shapes: x (..., c), scale (c,) -> y like x.
    """
    return x * lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + epsilon) * scale


def group_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, groups: int, epsilon: float = 1e-6
) -> jax.Array:
    """Normalises groups of consecutive channels, example by example (Wu & He 2018).

    Shapes: x (batch, ..., c), scale and bias (c,) -> y like x.
    """
    shape = math.prod(x.shape[1:-1]), groups, x.shape[-1] // groups
    grouped = x.reshape(len(x), *shape)
    mean, var = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
    return ((grouped - mean) * lax.rsqrt(var + epsilon)).reshape(x.shape) * scale + bias


def conv2d(
    x: jax.Array, w: jax.Array, b: jax.Array, *, stride: Size = (1, 1), padding: Any = "SAME"
) -> jax.Array:
    """Correlates images with a kernel, and adds the bias.

    Shapes: x (batch, height, width, n_in), w (h, w, n_in, n_out), b (n_out,) -> (batch, p, q,
    n_out).
    """
    y = lax.conv_general_dilated(
        x, w, _both(stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + b


def max_pool(
    x: jax.Array, *, window: Size = (2, 2), stride: Size | None = None, padding: Any = "VALID"
) -> jax.Array:
    """Takes the maximum of each window: x (batch, height, width, c) -> (batch, p, q, c)."""
    return _pool(x, -jnp.inf, lax.max, window, stride, padding)


def avg_pool(
    x: jax.Array, *, window: Size = (2, 2), stride: Size | None = None, padding: Any = "VALID"
) -> jax.Array:
    """Takes the mean of each window, in which padding counts as entries.

    Shapes: x (batch, height, width, c) -> (batch, p, q, c).
    """
    return _pool(x, 0.0, lax.add, window, stride, padding) / math.prod(_both(window))


def global_average_pool(x: jax.Array) -> jax.Array:
    """Takes the mean of each channel over the image: x (batch, height, width, c) -> (batch, c)."""
    return x.mean((1, 2))


def _pool(
    x: jax.Array, initial: float, reduce: Any, window: Size, stride: Size | None, padding: Any
) -> jax.Array:
    strides = (1, *_both(stride or window), 1)
    return lax.reduce_window(x, initial, reduce, (1, *_both(window), 1), strides, padding)


def _both(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
