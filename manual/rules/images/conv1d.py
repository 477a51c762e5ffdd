"""The convolution of sequences: that of images of height 1."""

from typing import Any

import chex
import jax

from manual.rules._conv import plus_bias
from manual.rules._windows import Padding, positive
from manual.rules.conv2d import conv2d_bwd, without_bias
from manual.rules.rule import Rule

__all__ = ["conv1d", "conv1d_bwd", "conv1d_fwd"]

Kept = tuple[jax.Array, jax.Array, jax.Array | None]
"""x and w, as those of an image of height 1, and b."""


def conv1d_fwd(
    x: jax.Array,
    w: jax.Array,
    b: jax.Array | None = None,
    *,
    stride: int = 1,
    padding: str | tuple[int, int] = "SAME",
    dilation: int = 1,
    groups: int = 1,
) -> tuple[jax.Array, Kept]:
    """y_bqo = Σ_jc x_b,(qs + jd − l),c w_jco + b_o,  x being 0 outside.

    Without b nothing is added.

    Shapes: x (batch, time, n_in), w (n, n_in / groups, n_out), b (n_out,), one dtype -> y (batch,
    q, n_out). Padding is "SAME", "VALID", or (before, after): (n − 1, 0) is the causal convolution.

    Raises:
        AssertionError: if shapes or dtypes are not these.
        ValueError: if a setting is none of those allowed, or no window fits.
    """
    chex.assert_rank([x, w], 3)
    rows, kernel = x[:, None], w[None]
    y = without_bias(rows, kernel, **_flat(stride, padding, dilation), groups=groups)[:, 0]
    return plus_bias(y, b), (rows, kernel, b)


def conv1d_bwd(
    residuals: Kept,
    dy: jax.Array,
    *,
    stride: int = 1,
    padding: str | tuple[int, int] = "SAME",
    dilation: int = 1,
    groups: int = 1,
) -> tuple[jax.Array, jax.Array, Any]:
    """dx = dy↑s ⋆ turned w,  dw = x ⋆ dy over the batch,  db = Σ dy: `conv2d_bwd` in one row."""
    settings = _flat(stride, padding, dilation)
    dx, dw, db = conv2d_bwd(residuals, dy[:, None], **settings, groups=groups)
    return dx[:, 0], dw[0], db


conv1d = Rule(conv1d_fwd, conv1d_bwd)


def _flat(stride: int, padding: str | tuple[int, int], dilation: int) -> dict[str, Any]:
    """The settings of the convolution of an image of height 1."""
    stride, dilation = (
        positive("stride of conv1d", stride),
        positive("dilation of conv1d", dilation),
    )
    if not isinstance(padding, str | tuple | list):
        raise ValueError(f"padding must be 'SAME', 'VALID' or (before, after), got {padding!r}")
    of_image: Padding = padding if isinstance(padding, str) else ((0, 0), padding)
    return {"stride": (1, stride), "padding": of_image, "dilation": (1, dilation)}
