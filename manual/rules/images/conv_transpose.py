"""The transposed convolution (Zeiler et al. 2010; Dumoulin & Visin 2016, ch. 4): an image enlarged.

It is the backward pass of a convolution with respect to its input, taken as a forward pass.
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
from manual.rules._windows import Padding, Size, Windows, both, pads_of, windows
from manual.rules.rule import Rule

__all__ = ["conv_transpose", "conv_transpose_bwd", "conv_transpose_fwd"]

Kept = tuple[jax.Array, jax.Array, jax.Array | None]
"""x, w and b."""


def conv_transpose_fwd(
    x: jax.Array,
    w: jax.Array,
    b: jax.Array | None = None,
    *,
    stride: Size = (1, 1),
    padding: Padding = "SAME",
) -> tuple[jax.Array, Kept]:
    """y_b,(ps + i − t),(qs′ + j − l),o = Σ x_bpqc w_ijco + b_o, over all p, i and q, j that meet.

    Without b nothing is added.

    Each pixel of x lays the kernel, times itself, on y, s pixels further than its neighbour. The
    convolution with stride s, this padding and the kernel with its channels swapped reads the same
    places: y is that convolution's input gradient at x. So `jax.lax.conv_transpose` has it with
    `transpose_kernel=True` and the channels swapped; by its default it lays the kernel turned by
    half a turn.

    Shapes: x (batch, height, width, n_in), w (h, w, n_in, n_out), b (n_out,), one dtype -> y
    (batch, p, q, n_out), with p = s height for "SAME" and s (height − 1) + h without padding, from
    which ((top, bottom), (left, right)) are cut off.

    Raises:
        AssertionError: if shapes or dtypes are not these.
        ValueError: if a setting is none of those allowed, or the padding cuts off more than y has.
    """
    chex.assert_rank([x, w], 4)
    chex.assert_type(w, x.dtype)
    chex.assert_axis_dimension(w, 2, x.shape[3])
    places = _windows(x, w, stride, padding)
    y = input_gradient(x, w.swapaxes(2, 3), w=places, groups=1)
    return plus_bias(y, b), (x, w, b)


def conv_transpose_bwd(
    residuals: Kept,
    dy: jax.Array,
    *,
    stride: Size = (1, 1),
    padding: Padding = "SAME",
) -> tuple[jax.Array, jax.Array, Any]:
    """dx = dy ⋆ w with stride s,  dw = dy ⋆ x over the batch,  db = Σ_bpq dy.

    y is linear in x, and the transpose of a transpose is the convolution itself:

        dx_bpqc = Σ_ijo dy_b,(ps + i − t),(qs′ + j − l),o w_ijco,
        dw_ijco = Σ_bpq x_bpqc dy_b,(ps + i − t),(qs′ + j − l),o,

    the kernel gradient of that convolution with dy for its input and x for its ∂/∂output, with the
    channels swapped.
    """
    x, w, b = residuals
    places = _windows(x, w, stride, padding)
    swapped = w.swapaxes(2, 3)
    # The windows slide over dy, s s′ times as large as x: to unfold it takes much memory.
    dx = correlate(dy, swapped, w=places, groups=1, unfolds=False)
    dw = kernel_gradient(dy, x, w=places, groups=1, unfolds=False).swapaxes(2, 3)
    return dx, dw, bias_gradient(b, dy)


conv_transpose = Rule(conv_transpose_fwd, conv_transpose_bwd)


def _windows(x: jax.Array, w: jax.Array, stride: Size, padding: Padding) -> Windows:
    """The windows on y of the convolution that leads from y to x."""
    steps, kernel, small = both("stride", stride), w.shape[:2], x.shape[1:3]
    if padding == "SAME":
        # At least as large as the kernel, so that each window has a place.
        image = [n * s for n, s in zip(small, steps, strict=True)]
    else:
        whole = [(n - 1) * s + k for n, s, k in zip(small, steps, kernel, strict=True)]
        image = [n - sum(pad) for n, pad in zip(whole, pads_of(padding), strict=True)]
        if min(image) < 0:
            raise ValueError(
                f"padding of conv_transpose cuts off more than the {tuple(whole)} that there are "
                f"without it, got {padding!r}"
            )
    return windows(image, kernel, steps, padding)
