"""Further functions in the idiom of jax.nn, jax.image and optax, for `jax.grad`.

The names, arguments and results are those of the hand-derived rules.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

__all__ = [
    "conv1d", "conv_transpose", "cosine_similarity", "hard_swish", "hinge", "huber",
    "instance_norm", "kl_divergence", "log_sigmoid", "log_softmax", "logsumexp",
    "mean_absolute_error", "mish", "resize", "selu", "sigmoid_focal", "softmax", "softsign",
    "swiglu", "weight_norm",
]  # fmt: skip

hard_swish, log_sigmoid, mish = jax.nn.hard_swish, jax.nn.log_sigmoid, jax.nn.mish
selu, softsign = jax.nn.selu, jax.nn.soft_sign
log_softmax, softmax = jax.nn.log_softmax, jax.nn.softmax


def logsumexp(x: jax.Array, *, axis: int = -1) -> jax.Array:
    """Computes the logarithm of the sum of exponentials along one axis."""
    return jax.nn.logsumexp(x, axis)


def swiglu(x: jax.Array) -> jax.Array:
    """Gates one half of the last axis by the silu of the other: x (..., 2 c) -> (..., c)."""
    a, b = jnp.split(x, 2, axis=-1)
    return jax.nn.silu(a) * b


def huber(predictions: jax.Array, targets: jax.Array, *, delta: float = 1.0) -> jax.Array:
    """Computes the mean Huber loss of two arrays of one shape."""
    return optax.losses.huber_loss(predictions, targets, delta=delta).mean()


def mean_absolute_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes the mean absolute error of two arrays of one shape."""
    return jnp.abs(predictions - targets).mean()


def hinge(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes the mean hinge loss of outputs and targets of -1 or 1, of one shape."""
    return optax.losses.hinge_loss(outputs, targets).mean()


def kl_divergence(log_predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes the mean divergence of rows of probabilities: both (batch, classes) -> ()."""
    return optax.losses.kl_divergence(log_predictions, targets).mean()


def sigmoid_focal(
    logits: jax.Array, targets: jax.Array, *, gamma: float = 2.0, alpha: float | None = None
) -> jax.Array:
    """Computes the mean focal loss of two arrays of one shape."""
    return optax.losses.sigmoid_focal_loss(logits, targets, alpha=alpha, gamma=gamma).mean()


def cosine_similarity(a: jax.Array, b: jax.Array, *, epsilon: float = 1e-8) -> jax.Array:
    """Computes the cosine along the last axis: a and b (..., c) -> (...)."""

    def length(x: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(x), -1), epsilon**2))

    return jnp.sum(a * b, -1) / (length(a) * length(b))


def instance_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, epsilon: float = 1e-6
) -> jax.Array:
    """Normalises each channel of each example: x (batch, ..., c), the others (c,) -> like x."""
    axes = tuple(range(1, x.ndim - 1))
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(var + epsilon) * scale + bias


def weight_norm(v: jax.Array, g: jax.Array) -> jax.Array:
    """Gives each output's weight the length g: v (..., n_out), g (n_out,) -> like v."""
    return g * v / jnp.sqrt(jnp.sum(jnp.square(v), tuple(range(v.ndim - 1))))


def conv1d(
    x: jax.Array,
    w: jax.Array,
    b: jax.Array,
    *,
    stride: int = 1,
    padding: Any = "SAME",
    dilation: int = 1,
    groups: int = 1,
) -> jax.Array:
    """Correlates sequences with a kernel, and adds the bias.

    Shapes: x (batch, time, n_in), w (n, n_in / groups, n_out), b (n_out,) -> (batch, q, n_out).
    """
    y = lax.conv_general_dilated(
        x,
        w,
        (stride,),
        padding if isinstance(padding, str) else (padding,),
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=groups,
    )
    return y + b


def conv_transpose(
    x: jax.Array, w: jax.Array, b: jax.Array, *, stride: Any = (1, 1), padding: Any = "SAME"
) -> jax.Array:
    """Applies the transposed convolution, and adds the bias: images -> larger images.

    Shapes: x (batch, height, width, n_in), w (h, w, n_in, n_out), b (n_out,) -> (batch, p, q,
    n_out). The transpose of a convolution reads the kernel from its end.
    """
    strides = (stride, stride) if isinstance(stride, int) else stride
    turned = w[::-1, ::-1]
    y = lax.conv_transpose(x, turned, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + b


def resize(x: jax.Array, *, size: Any, method: str = "bilinear") -> jax.Array:
    """Makes images larger or smaller: x (batch, height, width, c) -> (batch, *size, c)."""
    height, width = (size, size) if isinstance(size, int) else size
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, method, antialias=False)
