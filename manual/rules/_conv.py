"""The algorithms behind the convolutions: what each piece is computed by, on which platform.

Accelerators have one right primitive, `lax.conv_general_dilated`. XLA's CPU convolution is slow
where the image has few channels, and as a kernel gradient; there the same sums are taken another
way. In a loop, such as a training's `lax.scan`, it takes 30 times as long for any other order of
dimensions than NHWC and HWIO, so all are put in that order first. The choice is made when the code
is lowered, so a program that is exported for another platform gets that platform's algorithm.
"""

import functools
import math
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules._blocks import in_blocks
from manual.rules._windows import Extent, Windows, fold, unfold

__all__ = ["bias_gradient", "correlate", "input_gradient", "kernel_gradient", "plus_bias"]

_FEW_CHANNELS = 4
"""Up to here a CPU is faster with multiplications and additions of whole images (measured: 0.1 of
the time at one channel, 0.4 at three, 1.7 at eight)."""

_SMALL_WINDOW, _NARROW = 9, 32
"""Of few channels and a kernel of up to so many entries a CPU is faster with one matrix product for
the kernel gradient (measured: 0.24 of the time of products in blocks at one channel, 0.53 at three;
1.5 for 7×7), and up to so many outputs with one of two windows at a time (0.52 of the time of one
at 16 outputs; 1.4 at 64)."""

_FEW_GROUPS = 8
"""Up to here a CPU is faster with a convolution for each group than with one in groups (measured,
forward and backward, 32×28×28×32: 0.03 of the time with 4 groups, 2.1 with 32)."""

_EXAMPLES, _WIDE = 32, 16
"""How many examples the kernel gradient takes at a time, and from how many channels on half of
them: what a CPU has in its cache (measured of 128 examples, at 6 channels 0.33 of the time, at 16
0.78, at 32 0.72, at 64 0.83)."""


@functools.partial(jax.jit, static_argnames=("w", "groups", "unfolds"))
def correlate(
    x: jax.Array, kernel: jax.Array, *, w: Windows, groups: int, unfolds: bool = True
) -> jax.Array:
    """Computes Σ_ijc x_b,p s+i d−t,q s′+j d′−l,c k_ijco, the convolution without its bias.

    `unfolds` is whether a CPU may take more memory than a convolution where there are few channels.

    Shapes: x (batch, height, width, n_in), kernel (h, w, n_in / groups, n_out) -> (batch, p, q,
    n_out).
    """
    direct = functools.partial(_correlate_directly, w=w, groups=groups)
    if 1 < groups == x.shape[3]:
        depthwise = functools.partial(_correlate_depthwise, w=w)
        return lax.platform_dependent(x, kernel, cpu=depthwise, default=direct)
    if 1 < groups <= _FEW_GROUPS:
        one = functools.partial(_correlate_directly, w=w, groups=1)
        on_cpu = functools.partial(_of_each_group, one, groups=groups)
        return lax.platform_dependent(x, kernel, cpu=on_cpu, default=direct)
    if groups > 1 or kernel.shape[2] > _FEW_CHANNELS or not unfolds:
        return direct(x, kernel)
    by_offsets = functools.partial(_correlate_by_offsets, w=w)
    return lax.platform_dependent(x, kernel, cpu=by_offsets, default=direct)


def _of_each_group(
    f: Callable[[jax.Array, jax.Array], jax.Array], a: jax.Array, b: jax.Array, *, groups: int
) -> jax.Array:
    """f of each group of channels, side by side.

    XLA's CPU convolution in groups is slow.
    """
    pairs = zip(*(jnp.split(operand, groups, axis=-1) for operand in (a, b)), strict=True)
    return jnp.concatenate([f(*pair) for pair in pairs], axis=-1)


def _correlate_directly(x: jax.Array, kernel: jax.Array, *, w: Windows, groups: int) -> jax.Array:
    return _convolve(
        x, kernel, w.padding, stride=w.stride, dilation=w.dilation, feature_group_count=groups
    )


def _convolve(
    x: jax.Array,
    kernel: jax.Array,
    pads: Sequence[Extent],
    *,
    stride: Extent = (1, 1),
    spread: Extent = (1, 1),
    dilation: Extent = (1, 1),
    order: tuple[str, str, str] = ("NHWC", "HWIO", "NHWC"),
    **groups: int,
) -> jax.Array:
    """The platform's convolution: of an image and a kernel of height 1 that of sequences.

    The sums are the same, and a CPU takes those of sequences on all of its cores, those of images
    of one row on one (measured: 0.58 of the time on two, 32×512×64→64).
    """
    settings = [stride, pads, spread, dilation]
    of_x, of_kernel, row = (dimensions.index("H") for dimensions in order)
    is_flat = x.shape[of_x] == kernel.shape[of_kernel] == 1 and tuple(pads[0]) == (0, 0)
    if is_flat:
        x, kernel = x.squeeze(of_x), kernel.squeeze(of_kernel)
        settings = [pair[1:] for pair in settings]
        order = order[0].replace("H", ""), order[1].replace("H", ""), order[2].replace("H", "")
    y = lax.conv_general_dilated(x, kernel, *settings, dimension_numbers=order, **groups)
    return jnp.expand_dims(y, row) if is_flat else y


def _correlate_by_offsets(x: jax.Array, kernel: jax.Array, *, w: Windows) -> jax.Array:
    """The sum, term by term: one loop over y, which XLA fuses, and no matrix product."""
    n_in, n_out = kernel.shape[2:]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    seen = unfold(x.astype(wide), w)
    taps = kernel.astype(wide).reshape(-1, n_in, n_out)
    terms = [seen[k][..., c, None] * taps[k, c] for k in range(len(seen)) for c in range(n_in)]
    return sum(terms[1:], terms[0]).astype(x.dtype)


def _correlate_depthwise(x: jax.Array, kernel: jax.Array, *, w: Windows) -> jax.Array:
    """The same with one channel to a group: y_bpqo = Σ_k seen_k,bpqo k_ko, without a product.

    XLA's CPU convolution takes 30 times as long (measured, forward and backward, 32×28×28×32).
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    seen, taps = unfold(_for_each_out(x, kernel.shape[3]).astype(wide), w), _taps(kernel, wide)
    terms = [seen[k] * taps[k] for k in range(len(seen))]
    return sum(terms[1:], terms[0]).astype(x.dtype)


def _for_each_out(x: jax.Array, n_out: int) -> jax.Array:
    """The channel that each output sees: (..., n_in) -> (..., n_out)."""
    return x if x.shape[-1] == n_out else jnp.repeat(x, n_out // x.shape[-1], axis=-1)


def _taps(kernel: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """The kernel of a depthwise convolution: (h, w, 1, n_out) -> (h w, n_out)."""
    return kernel.astype(dtype).reshape(-1, kernel.shape[3])


@functools.partial(jax.jit, static_argnames=("w", "groups"))
def input_gradient(dy: jax.Array, kernel: jax.Array, *, w: Windows, groups: int) -> jax.Array:
    """Computes dx, by correlating the spread dy with the turned kernel (`conv2d_bwd`).

    Shapes: dy (batch, p, q, n_out), kernel (h, w, n_in / groups, n_out) -> (batch, height, width,
    n_in).
    """
    direct = functools.partial(_input_gradient_directly, w=w, groups=groups)
    if groups > 1 and kernel.shape[2] == 1:
        depthwise = functools.partial(_input_gradient_depthwise, w=w, n_in=groups)
        return lax.platform_dependent(dy, kernel, cpu=depthwise, default=direct)
    if not 1 < groups <= _FEW_GROUPS:
        return direct(dy, kernel)
    one = functools.partial(_input_gradient_directly, w=w, groups=1)
    on_cpu = functools.partial(_of_each_group, one, groups=groups)
    return lax.platform_dependent(dy, kernel, cpu=on_cpu, default=direct)


def _input_gradient_directly(
    dy: jax.Array, kernel: jax.Array, *, w: Windows, groups: int
) -> jax.Array:
    height, width, n_in, n_out = kernel.shape
    turned = kernel[::-1, ::-1].reshape(height, width, n_in, groups, n_out // groups)
    turned = turned.transpose(0, 1, 4, 3, 2).reshape(height, width, n_out // groups, -1)
    pads = []
    for axis in (0, 1):
        reach = (w.window[axis] - 1) * w.dilation[axis]
        low = reach - w.padding[axis][0]
        spread = (w.out[axis] - 1) * w.stride[axis] + 1
        pads.append((low, w.image[axis] + reach - spread - low))
    return _convolve(
        dy, turned, pads, spread=w.stride, dilation=w.dilation, feature_group_count=groups
    )


def _input_gradient_depthwise(
    dy: jax.Array, kernel: jax.Array, *, w: Windows, n_in: int
) -> jax.Array:
    """Each dy_bpqo k_ko, put back where k took it from."""
    wide = jnp.promote_types(dy.dtype, jnp.float32)
    rows, taps = dy.astype(wide), _taps(kernel, wide)
    dx = fold(lambda k: rows * taps[k], w)
    return dx.reshape(*dx.shape[:3], n_in, -1).sum(axis=4).astype(dy.dtype)


@functools.partial(jax.jit, static_argnames=("w", "groups", "unfolds"))
def kernel_gradient(
    x: jax.Array, dy: jax.Array, *, w: Windows, groups: int, unfolds: bool = True
) -> jax.Array:
    """Computes dw, by correlating x with dy over the batch (`conv2d_bwd`).

    `unfolds` is that of `correlate`.

    Shapes: x (batch, height, width, n_in), dy (batch, p, q, n_out) -> (h, w, n_in / groups, n_out).
    """
    n_in = x.shape[3]
    is_few = n_in <= _FEW_CHANNELS and math.prod(w.window) <= _SMALL_WINDOW
    if 1 < groups == n_in:
        on_cpu = functools.partial(_kernel_gradient_depthwise, w=w)
    elif groups == 1 and is_few and unfolds:
        on_cpu = functools.partial(_kernel_gradient_by_one_product, w=w)
    elif 1 < groups <= _FEW_GROUPS:
        one = functools.partial(_kernel_gradient_in_order, w=w, groups=1)
        on_cpu = functools.partial(_of_each_group, one, groups=groups)
    else:
        on_cpu = functools.partial(_kernel_gradient_in_order, w=w, groups=groups)
    direct = functools.partial(_kernel_gradient_directly, w=w, groups=groups)
    return lax.platform_dependent(x, dy, cpu=on_cpu, default=direct)


def _kernel_gradient_directly(x: jax.Array, dy: jax.Array, *, w: Windows, groups: int) -> jax.Array:
    """A convolution whose batch is x's channels, whose channels are the batch, and kernel dy."""
    return _correlate_over_the_batch(x, dy, order=("CHWN", "IHWO", "HWNC"), w=w, groups=groups)


def _kernel_gradient_in_order(x: jax.Array, dy: jax.Array, *, w: Windows, groups: int) -> jax.Array:
    """The same in the order of XLA's CPU convolution, a few examples at a time.

    Of sequences all at once: one at a time, their convolutions would wait for each other.
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    over_the_batch = functools.partial(
        _correlate_over_the_batch, order=("NHWC", "HWIO", "NHWC"), w=w, groups=groups
    )
    if w.image[0] == w.window[0] == 1 and not any(w.padding[0]):
        # Without the axis of height 1, of which XLA would make a copy.
        sequences, kernel = x[:, 0].transpose(2, 1, 0), dy[:, 0].transpose(1, 0, 2)
        return over_the_batch(sequences[:, None], kernel[None]).transpose(1, 2, 0, 3)

    def of_examples(dy: jax.Array, x: jax.Array) -> tuple[None, jax.Array]:
        dw = over_the_batch(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3))
        return None, dw.astype(wide)

    rows = _EXAMPLES if x.shape[3] < _WIDE * groups else _EXAMPLES // 2
    _, dw = in_blocks(of_examples, dy, x, rows=rows)
    return dw.astype(x.dtype).transpose(1, 2, 0, 3)


def _correlate_over_the_batch(
    x: jax.Array, dy: jax.Array, *, order: tuple[str, str, str], w: Windows, groups: int
) -> jax.Array:
    """dw_ijco = Σ_bpq x_b,p s+i d−t,q s′+j d′−l,c dy_bpqo, of operands in this order."""
    pads = []
    for axis in (0, 1):
        low = w.padding[axis][0]
        reach = (w.window[axis] - 1) * w.dilation[axis]
        spread = (w.out[axis] - 1) * w.stride[axis] + 1
        pads.append((low, spread + reach - w.image[axis] - low))
    return _convolve(
        x, dy, pads, stride=w.dilation, dilation=w.stride, order=order, batch_group_count=groups
    )


def _kernel_gradient_by_one_product(x: jax.Array, dy: jax.Array, *, w: Windows) -> jax.Array:
    """All that is seen times dy, for one or two windows of a row at a time.

    Few channels make a product with few rows and columns, which is slow. m windows side by side see
    (m − 1) s′ + (w − 1) d′ + 1 columns of the image. With t_iucqo the product of what these see at
    row i and column u with dy of the q-th of them, dw_ijco = Σ_q t_i,(q s′ + j d′),c,q,o: of t with
    (m + 2)/3 times as many rows, for a 3×3 kernel, and m times as many columns.
    """
    (height, width), (n_in, n_out) = w.window, (x.shape[3], dy.shape[3])
    m = 2 if w.out[1] % 2 == 0 and n_out <= _NARROW else 1
    (_, s), (_, d) = w.stride, w.dilation
    span = (m - 1) * s + (width - 1) * d + 1
    together = w._replace(
        window=(height, span),
        stride=(w.stride[0], m * s),
        dilation=(w.dilation[0], 1),
        out=(w.out[0], w.out[1] // m),
    )
    seen = jnp.stack([part[..., c] for part in unfold(x, together) for c in range(n_in)])
    wide = jnp.promote_types(x.dtype, jnp.float32)
    rows, columns = seen.reshape(height * span * n_in, -1), dy.reshape(-1, m * n_out)
    t = jnp.matmul(rows, columns, preferred_element_type=wide)
    t = t.reshape(height, span, n_in, m, n_out)
    taps = [sum(t[:, q * s + j * d, :, q] for q in range(m)) for j in range(width)]
    return jnp.stack(taps, axis=1).astype(x.dtype)


def _kernel_gradient_depthwise(x: jax.Array, dy: jax.Array, *, w: Windows) -> jax.Array:
    """dw_ko = Σ_bpq seen_k,bpqo dy_bpqo, for a few examples at a time."""
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def of_examples(dy: jax.Array, x: jax.Array) -> tuple[None, jax.Array]:
        seen, rows = unfold(_for_each_out(x, dy.shape[3]).astype(wide), w), dy.astype(wide)
        return None, jnp.stack([(part * rows).sum(axis=(0, 1, 2)) for part in seen])

    _, dw = in_blocks(of_examples, dy, x)
    return dw.reshape(*w.window, 1, -1).astype(x.dtype)


def plus_bias(y: jax.Array, b: jax.Array | None) -> jax.Array:
    """Returns y + b, the same b at every place, and y where there is no b.

    Shapes: y (..., n_out), b (n_out,) -> (..., n_out).

    Raises:
        AssertionError: if the shapes are not these, or the dtypes differ.
    """
    if b is None:
        return y
    chex.assert_shape(b, y.shape[-1:])
    chex.assert_type(b, y.dtype)
    return y + b[(None,) * (y.ndim - 1)]


def bias_gradient(b: jax.Array | None, dy: jax.Array) -> jax.Array | None:
    """Computes db = Σ dy over all places, where there is a b."""
    return None if b is None else jnp.sum(dy.reshape(-1, dy.shape[-1]), axis=0)
