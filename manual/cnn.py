"""A convolutional network for images, its backward pass written out stage by stage.

Two stages of 3×3 convolution, ReLU and 2×2 max-pooling, then one dense layer:

    z = conv2d(a, W, b),   a = max_pool(max(0, z)),   logits = flatten(a) W + b.

max(0, ·) is monotonic, so max_pool(max(0, z)) = max(0, max_pool(z)), and with relu'(0) = 0 the
gradient is the same too. The code pools first, so that ReLU has a quarter of the entries. Images
are (batch, height, width, channels).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from manual import initializers
from manual.rules import losses
from manual.rules._blocks import in_halves
from manual.rules.activations import relu, relu_bwd, relu_fwd
from manual.rules.conv2d import conv2d, conv2d_bwd, conv2d_fwd
from manual.rules.dense import dense, dense_bwd, dense_fwd
from manual.rules.pooling import max_pool, max_pool_bwd, max_pool_fwd
from manual.rules.rule import Rule
from manual.rules.shapes import flatten, flatten_bwd, flatten_fwd

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
    height, width, n_in = image
    if min(*image, *channels, n_out) < 1:
        raise ValueError(
            f"sizes must be positive, got image {tuple(image)}, channels {tuple(channels)}, "
            f"n_out {n_out}"
        )
    height, width = height // 2 ** len(channels), width // 2 ** len(channels)
    if min(height, width) < 1:
        raise ValueError(
            f"an image of {tuple(image[:2])} is too small to be halved {len(channels)} times"
        )
    widths = (n_in, *channels)
    shapes = [(3, 3, widths[i], widths[i + 1]) for i in range(len(channels))]
    shapes = [*shapes, (height * width * widths[-1], n_out)]
    draw = initializers.by_name(initializer)
    keys = jax.random.split(key, len(shapes))
    return [
        {"w": draw(layer_key, shape, dtype), "b": jnp.zeros(shape[-1], dtype)}
        for layer_key, shape in zip(keys, shapes, strict=True)
    ]


def predict(params: Params, x: jax.Array) -> jax.Array:
    """Computes the logits: x (batch, height, width, channels) -> (batch, n_out)."""
    *stages, last = params
    for layer in stages:
        x = relu(max_pool(conv2d(x, layer["w"], layer["b"])))
    return dense(flatten(x), last["w"], last["b"])


def loss(
    params: Params,
    batch: Batch,
    *,
    loss: str | Rule[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """Computes the loss of the logits of batch = (x, targets), a scalar.

    `jax.grad` of it applies the same rules as `loss_and_grad`, put together by JAX instead of here.

    Args:
        params: as `init` makes them.
        batch: x (batch, height, width, channels) and the targets that the loss asks for.
        loss: the name of a loss, or a rule of (logits, targets).

    Raises:
        ValueError: if there is no loss of that name.
        AssertionError: if the targets do not fit the logits in shape or dtype.
    """
    x, targets = batch
    return losses.by_name(loss)(predict(params, x), targets)


def _max_pool_fwd(z: jax.Array) -> tuple[jax.Array, Any]:
    """The forward pass of `max_pool`, on a CPU in two halves of the batch.

    XLA would otherwise compute the convolution of few channels again in each pass over z, six times
    in all.
    """
    return in_halves(max_pool_fwd, z)


def loss_and_grad(
    params: Params,
    batch: Batch,
    *,
    loss: str | Rule[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> tuple[jax.Array, Params]:
    """Computes the loss and its gradient with respect to the parameters, by backpropagation.

    With δ = ∂L/∂z of a stage (`dz` in the code), s the pooled z, and da = ∂L/∂a of its output
    a = max(0, s):

        ds = da ⊙ 1(a > 0),
        δ  = ds at the first maximum of each window, 0 elsewhere      (`max_pool_bwd`),
        ∂L/∂W = a(l−1) ⋆ δ,  ∂L/∂b = Σ δ,  da(l−1) = δ ⋆ turned W    (`conv2d_bwd`).

    δ holds the entries of ds and zeros, so Σ δ = Σ ds, which has a quarter of the terms. Nothing
    uses da(0), the gradient of the images, and XLA drops it under `jit`. (LeCun et al. 1998, §II,
    with the maximum for the average.)

    The arguments are those of `loss`.

    Returns:
        What `jax.value_and_grad` of `loss` returns: the loss, and a tree like `params`.

    Raises:
        ValueError: if there is no loss of that name.
        AssertionError: if the targets do not fit the logits in shape or dtype.
    """
    a, targets = batch
    *stages, last = params
    criterion = losses.by_name(loss)

    saved = []
    for layer in stages:
        z, conv_residuals = conv2d_fwd(a, layer["w"], layer["b"])
        s, pool_residuals = _max_pool_fwd(z)
        a, relu_residuals = relu_fwd(s)
        saved.append((conv_residuals, pool_residuals, relu_residuals))
    rows, flatten_residuals = flatten_fwd(a)
    logits, last_residuals = dense_fwd(rows, last["w"], last["b"])
    value, loss_residuals = criterion.fwd(logits, targets)

    dlogits, _ = criterion.bwd(loss_residuals, jnp.ones_like(value))
    drows, dw, db = dense_bwd(last_residuals, dlogits)
    (da,) = flatten_bwd(flatten_residuals, drows)
    grads = [{"w": dw, "b": db}]
    for conv_residuals, pool_residuals, relu_residuals in reversed(saved):
        (ds,) = relu_bwd(relu_residuals, da)
        (dz,) = max_pool_bwd(pool_residuals, ds)
        da, dw, _ = conv2d_bwd(conv_residuals, dz)
        grads.append({"w": dw, "b": ds.sum(axis=(0, 1, 2))})
    return value, grads[::-1]
