"""Two convolutions and a global average.

Images are (batch, height, width, channels), kernels (height, width, in, out); "convolution" is
correlation, as everywhere in this field. dname is the derivative of the loss with respect to name.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

KERNELS = ("0/w", "1/w")
BIASES = ("0/b", "1/b")
FIRST = ("0/w", "0/b")


def make(seed: int) -> tuple[Any, ...]:
    """Draws two layers and three images: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = [
        {"w": normal(rng, 3, 2, 2, 4, scale=0.3), "b": normal(rng, 4, scale=0.5)},
        {"w": normal(rng, 2, 3, 4, 5, scale=0.3), "b": normal(rng, 5, scale=0.5)},
    ]
    return params, normal(rng, 3, 8, 7, 2), normal(rng, 3, 5)


def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of two convolutions, with ReLU, tanh and a global average."""

    def conv(x: jax.Array, layer: Any) -> jax.Array:
        out = jax.lax.conv_general_dilated(
            x, layer["w"], window_strides=(1, 1), padding="VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return out + layer["b"]

    h = jax.nn.relu(conv(x, params[0]))
    features = jnp.tanh(conv(h, params[1])).mean(axis=(1, 2))
    return jnp.mean((features - y) ** 2)


def windows(x: jax.Array, w: jax.Array) -> list[Any]:
    """Lists for each offset (i, j) into the kernel, row by row, the pixels of x that it meets."""
    height, width = x.shape[1] - w.shape[0] + 1, x.shape[2] - w.shape[1] + 1
    offsets = itertools.product(range(w.shape[0]), range(w.shape[1]))
    return [(slice(None), slice(i, i + height), slice(j, j + width)) for i, j in offsets]


def patches(x: jax.Array, w: jax.Array) -> jax.Array:
    """Stacks the pixels of every offset: (batch, height, width, offsets, channels)."""
    return jnp.stack([x[at] for at in windows(x, w)], axis=3)


def conv(x: jax.Array, w: jax.Array) -> jax.Array:
    """out[p, q] = Σ_ij x[p + i, q + j] w[i, j], as one product over offsets and channels."""
    return jnp.einsum("bpqki,kio->bpqo", patches(x, w), w.reshape(-1, *w.shape[2:]))


def kernel_bwd(x: jax.Array, w: jax.Array, dz: jax.Array) -> jax.Array:
    """dw[i, j] = Σ over batch and positions of x[p + i, q + j]ᵀ dz[p, q]."""
    return jnp.einsum("bpqki,bpqo->kio", patches(x, w), dz).reshape(w.shape)


def patches_bwd(w: jax.Array, dz: jax.Array) -> jax.Array:
    """dpatch[i, j, p, q] = dz[p, q] w[i, j]ᵀ, for each offset and position."""
    return jnp.einsum("bpqo,kio->kbpqi", dz, w.reshape(-1, *w.shape[2:]))


def image_bwd(x: jax.Array, w: jax.Array, dz: jax.Array) -> jax.Array:
    """dx[p + i, q + j] += dz[p, q] w[i, j]ᵀ; windows overlap, so their gradients add up."""
    dx = jnp.zeros_like(x)
    for at, dpatch in zip(windows(x, w), patches_bwd(w, dz), strict=True):
        dx = dx.at[at].add(dpatch)
    return dx


def bias_bwd(dz: jax.Array) -> jax.Array:
    """db = Σ over batch and positions of dz: a whole map has one bias."""
    return dz.sum(axis=(0, 1, 2))


def relu_bwd(dh: jax.Array, z: jax.Array) -> jax.Array:
    """dz = dh where z > 0."""
    return jnp.where(z > 0, dh, 0)


def correct(
    params: Any,
    x: jax.Array,
    y: jax.Array,
    *,
    kernel_bwd: Any = kernel_bwd,
    image_bwd: Any = image_bwd,
    bias_bwd: Any = bias_bwd,
    relu_bwd: Any = relu_bwd,
) -> tuple[Any, Any]:
    """Goes back through both layers: kernel, bias, image (Goodfellow et al. 2016, §9.5)."""
    (w1, b1), (w2, b2) = ((layer["w"], layer["b"]) for layer in params)
    z = conv(x, w1) + b1
    h = jnp.maximum(z, 0)
    a = jnp.tanh(conv(h, w2) + b2)
    error = a.mean(axis=(1, 2)) - y

    dfeatures = 2 * error / error.size
    dz2 = dfeatures[:, None, None, :] / (a.shape[1] * a.shape[2]) * (1 - a**2)
    dz1 = relu_bwd(image_bwd(h, w2, dz2), z)
    return (error**2).mean(), [
        {"w": kernel_bwd(x, w1, dz1), "b": bias_bwd(dz1)},
        {"w": kernel_bwd(h, w2, dz2), "b": bias_bwd(dz2)},
    ]


CONVOLUTION = Original("convolution", loss, correct, make)


@CONVOLUTION.mutant("kernel_flipped", *FIRST)
def kernel_not_rotated(*inputs: Any) -> tuple[Any, Any]:
    """dz, padded all round, is correlated with the kernel as it is, and not turned by 180°.

    The gradient of a correlation is a convolution (Goodfellow et al. 2016, §9.5).
    """

    def full_correlation(x: jax.Array, w: jax.Array, dz: jax.Array) -> jax.Array:
        del x
        rows, columns = w.shape[0] - 1, w.shape[1] - 1
        padded = jnp.pad(dz, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
        return conv(padded, w.swapaxes(2, 3))  # bug

    return correct(*inputs, image_bwd=full_correlation)


@CONVOLUTION.mutant("kernel_flipped", *KERNELS)
def kernel_gradient_rotated(*inputs: Any) -> tuple[Any, Any]:
    """dw is turned by 180°, as it would have to be if the forward pass were a true convolution."""
    return correct(*inputs, kernel_bwd=lambda x, w, dz: kernel_bwd(x, w, dz)[::-1, ::-1])  # bug


@CONVOLUTION.mutant("overwritten_not_accumulated", *FIRST)
def overlapping_windows_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """dx[window] = ... in the loop over offsets: a pixel keeps the gradient of one window."""

    def assign(x: jax.Array, w: jax.Array, dz: jax.Array) -> jax.Array:
        dx = jnp.zeros_like(x)
        for at, dpatch in zip(windows(x, w), patches_bwd(w, dz), strict=True):
            dx = dx.at[at].set(dpatch)  # bug
        return dx

    return correct(*inputs, image_bwd=assign)


@CONVOLUTION.mutant("bias_averaged", *BIASES)
def bias_averaged_over_the_map(*inputs: Any) -> tuple[Any, Any]:
    """The bias takes the mean over batch and positions."""
    return correct(*inputs, bias_bwd=lambda dz: dz.mean(axis=(0, 1, 2)))  # bug


@CONVOLUTION.mutant("bias_summed_over_features", *BIASES)
def bias_summed_over_channels(*inputs: Any) -> tuple[Any, Any]:
    """dz.sum() without axes: all channels get the same number."""
    return correct(*inputs, bias_bwd=lambda dz: jnp.broadcast_to(dz.sum(), dz.shape[-1:]))  # bug


@CONVOLUTION.mutant("missing_activation_derivative", *FIRST)
def relu_mask_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The gradient passes the ReLU where the signal did not."""
    return correct(*inputs, relu_bwd=lambda dh, z: dh)  # bug


@CONVOLUTION.mutant(None, *FIRST, aliases=("wrong_value",))
def relu_of_the_gradient(*inputs: Any) -> tuple[Any, Any]:
    """ReLU is applied to the gradient, by its sign and not by the input's.

    Done on purpose to visualise networks (Zeiler & Fergus 2014), and no gradient at all.
    """
    return correct(*inputs, relu_bwd=lambda dh, z: jnp.where(dh > 0, dh, 0))  # bug


@CONVOLUTION.mutant(None, *FIRST, aliases=("wrong_places",))
def image_gradient_shifted(*inputs: Any) -> tuple[Any, Any]:
    """The padding goes to one side only: dx arrives a row below where it belongs."""
    return correct(
        *inputs,
        image_bwd=lambda x, w, dz: jnp.roll(image_bwd(x, w, dz), 1, axis=1),  # bug
    )


@CONVOLUTION.mutant(None, *BIASES, verdict="structure_mismatch")
def bias_summed_over_the_batch_only(*inputs: Any) -> tuple[Any, Any]:
    """The dense layer's dz.sum(axis=0) leaves a bias for every pixel, which even broadcasts."""
    return correct(*inputs, bias_bwd=lambda dz: dz.sum(axis=0))  # bug


ORIGINALS = (CONVOLUTION,)
