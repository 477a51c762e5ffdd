"""A convolutional network for images in the idiom of jax.nn, differentiated by `jax.grad`.

Two stages of 3×3 convolution, ReLU and 2×2 max-pooling (`reduce_window`, as in flax and haiku),
then one dense layer. Images are (batch, height, width, channels).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from autodiff.functions import INITIALIZERS, LOSSES, choose
from autodiff.layers import conv2d, dense, flatten, max_pool

__all__ = ["Params", "init", "loss", "loss_and_grad", "predict"]

Params = list[dict[str, jax.Array]]
Batch = tuple[jax.Array, jax.Array]


def init(
    key: jax.Array,
    image: Sequence[int] = (28, 28, 1),
    channels: Sequence[int] = (16, 32),
    n_out: int = 10,
    *,
    initializer: str = "he_normal",
    dtype: Any = jnp.float32,
) -> Params:
    """Draws the parameters.

    Args:
        key: one key.
        image: height, width and channels of an image.
        channels: the width of each convolution, one stage each.
        n_out: how many logits.
        initializer: of the weights; biases are zero.
        dtype: of all parameters.

    Returns:
        `{"w": (3, 3, n_in, n_out), "b": (n_out,)}` a convolution, and
        `{"w": (n_in, n_out), "b": (n_out,)}` of the dense layer.

    Raises:
        ValueError: if a size is not positive, the image is too small for its poolings, or there is
            no initializer of that name.
    """
    if any(size <= 0 for size in (*image, *channels, n_out)):
        raise ValueError(
            f"sizes must be positive, got image {tuple(image)}, channels {tuple(channels)}, "
            f"n_out {n_out}"
        )
    height, width, n_in = image
    shapes = []
    for n in channels:
        shapes.append((3, 3, n_in, n))
        height, width, n_in = height // 2, width // 2, n
    if not height * width:
        raise ValueError(
            f"an image of {tuple(image[:2])} is too small to be halved {len(channels)} times"
        )
    shapes.append((height * width * n_in, n_out))
    weights = choose("initializer", INITIALIZERS, initializer)
    keys = jax.random.split(key, len(shapes))
    return [
        {"w": weights(k, shape, dtype), "b": jnp.zeros(shape[-1], dtype)}
        for k, shape in zip(keys, shapes, strict=True)
    ]


def predict(params: Params, x: jax.Array) -> jax.Array:
    """Computes the logits: x (batch, height, width, channels) -> (batch, n_out)."""
    for layer in params[:-1]:
        x = max_pool(jax.nn.relu(conv2d(x, layer["w"], layer["b"])))
    return dense(flatten(x), params[-1]["w"], params[-1]["b"])


def loss(
    params: Params,
    batch: Batch,
    *,
    loss: str | Callable[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """Computes the loss of the logits of batch = (x, targets), a scalar.

    Args:
        params: as `init` makes them.
        batch: x (batch, height, width, channels) and the targets that the loss asks for.
        loss: the name of a loss, or a function of (logits, targets).

    Raises:
        ValueError: if there is no loss of that name.
        AssertionError: if the targets do not fit the logits.
    """
    x, targets = batch
    return choose("loss", LOSSES, loss)(predict(params, x), targets)


loss_and_grad = jax.value_and_grad(loss)
