"""The two-dimensional convolution of deep learning: a correlation of an image with a kernel.

Legend: b example, (u, v) pixel of the image, (p, q) pixel of the result, (i, j) offset in the
kernel, c input channel, o output channel, s stride, d dilation, t and l the padding at the top and
on the left; s, d for the vertical and s′, d′ for the horizontal direction.
"""

from typing import Any

import chex
import jax

from manual.rules._conv import (
    bias_gradient,
    correlate,
    input_gradient,
    kernel_gradient,
    plus_bias,
)
from manual.rules._windows import Padding, Size, windows
from manual.rules.rule import Rule

__all__ = ["conv2d", "conv2d_bwd", "conv2d_fwd", "without_bias"]

Kept = tuple[jax.Array, jax.Array, jax.Array | None]
"""x, w and b."""


def conv2d_fwd(
    x: jax.Array,
    w: jax.Array,
    b: jax.Array | None = None,
    *,
    stride: Size = (1, 1),
    padding: Padding = "SAME",
    dilation: Size = (1, 1),
    groups: int = 1,
) -> tuple[jax.Array, Kept]:
    """y_bpqo = Σ_ijc x_b,(ps+id−t),(qs′+jd′−l),c w_ijco + b_o,  x being 0 outside the image.

    Without b nothing is added.

    With groups, the channels of x and of y are cut into that many groups in their order, and each
    group of y sees its own group of x; groups = n_in is the depthwise convolution.

    Shapes: x (batch, height, width, n_in), w (h, w, n_in / groups, n_out), b (n_out,), one dtype
    -> y (batch, p, q, n_out). Padding is "SAME", "VALID" or ((top, bottom), (left, right)).

    Raises:
        AssertionError: if shapes or dtypes are not these.
        ValueError: if a setting is none of those allowed, or no window fits.
    """
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return plus_bias(without_bias(x, w, **settings), b), (x, w, b)


def without_bias(
    x: jax.Array,
    w: jax.Array,
    *,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
) -> jax.Array:
    """Computes y − b of `conv2d_fwd`, which says what it takes, gives and raises."""
    chex.assert_rank([x, w], 4)
    chex.assert_type(w, x.dtype)
    n_in, n_out = x.shape[3], w.shape[3]
    if groups < 1 or n_in % groups or n_out % groups:
        raise ValueError(f"groups must divide the channels {n_in} and {n_out}, got {groups}")
    chex.assert_shape(w, (*w.shape[:2], n_in // groups, n_out))
    places = windows(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    return correlate(x, w, w=places, groups=groups)


def conv2d_bwd(
    residuals: Kept,
    dy: jax.Array,
    *,
    stride: Size = (1, 1),
    padding: Padding = "SAME",
    dilation: Size = (1, 1),
    groups: int = 1,
) -> tuple[jax.Array, jax.Array, Any]:
    """dx = dy↑s ⋆ turned w,  dw = x ⋆ dy over the batch,  db = Σ_bpq dy.

    y is linear in each of x, w and b; the chain rule sums over the places where an entry is used.

    Input. x_uv is seen at (i, j) by the window with p s + i d − t = u, q s′ + j d′ − l = v:

        dx_buvc = Σ_ijo Σ_pq 1[p s = u + t − i d] 1[q s′ = v + l − j d′] dy_bpqo w_ijco.

    Write dy↑s for dy with s − 1 zeros between its rows (s′ − 1 between its columns), so that
    (dy↑s)_ps = dy_p. The sum over p, q then picks (dy↑s) at u + t − i d, and with
    i = h − 1 − i′ (the kernel turned by 180°, its channels swapped)

        dx_buvc = Σ_i′j′o (dy↑s)_b,(u + i′d − ((h−1)d − t)),…,o  w_(h−1−i′),(w−1−j′),c,o:

    a correlation of stride 1 and dilation d, with (h−1)d − t rows of padding at the top, and at the
    bottom what makes dx as high as x: rows that no window reached get 0 from it, and where a number
    is negative, rows are cut off (Dumoulin & Visin 2016, §4.6, relation 14; with dilation §5.1).

    Kernel. w_ijco is used at every example and place:

        dw_ijco = Σ_bpq x_b,(ps+id−t),(qs′+jd′−l),c dy_bpqo,

    a correlation of x with dy in which the batch is summed, p s makes s the dilation of dy, and
    i d makes d the stride (LeCun et al. 1998 for the shared weight: the sum of the gradients at all
    its places). For each (i, j) it is the matrix product of the pixels seen there with dy.

    Bias. b_o is added everywhere: db_o = Σ_bpq dy_bpqo.

    A group of channels is a convolution of its own, so each sum over c or o stays within its group.
    """
    x, w, b = residuals
    places = windows(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    dx = input_gradient(dy, w, w=places, groups=groups)
    dw = kernel_gradient(x, dy, w=places, groups=groups)
    return dx, dw, bias_gradient(b, dy)


conv2d = Rule(conv2d_fwd, conv2d_bwd)
