"""Windows that slide over an image: their geometry, and the two adjoint maps between the two.

An image x is (batch, height, width, channels). The window at output position (p, q) sees, at its
offset (i, j), the pixel (p s + i d − t, q s′ + j d′ − l), with (s, s′) the stride, (d, d′) the
dilation and t, l the padding above and to the left (Dumoulin & Visin 2016, ch. 2 and 5).
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

__all__ = [
    "Extent", "Padding", "Size", "Windows", "both", "fold", "pads_of", "positive", "unfold",
    "windows",
]  # fmt: skip

Extent = tuple[int, int]
"""Height and width, or their strides."""
Size = int | Extent
"""An extent, or one number for both."""
Padding = str | Sequence[Sequence[int]]


class Windows(NamedTuple):
    """A fully resolved set of windows; every pair is (vertical, horizontal).

    Attributes:
        image: height and width of the image.
        window: height and width of the window.
        stride: distance between neighbouring windows.
        dilation: distance between neighbouring pixels of a window.
        padding: pixels added in front and behind, for both directions.
        out: how many windows there are.
    """

    image: Extent
    window: Extent
    stride: Extent
    dilation: Extent
    padding: tuple[Extent, Extent]
    out: Extent

    def offsets(self) -> Iterator[Extent]:
        """Yields where the pixels of a window are, dilated, in row-major order."""
        for i in range(self.window[0]):
            for j in range(self.window[1]):
                yield i * self.dilation[0], j * self.dilation[1]


def windows(
    image: Sequence[int],
    window: int | Sequence[int],
    stride: int | Sequence[int],
    padding: Padding,
    dilation: int | Sequence[int] = (1, 1),
) -> Windows:
    """Resolves and checks the settings of a convolution or a pooling.

    Args:
        image: height and width.
        window: height and width, or one number for both.
        stride: as in `Windows`, or one number for both.
        padding: "VALID" (none), "SAME" (⌈n/s⌉ windows, what is missing split evenly, the odd pixel
            behind), or ((top, bottom), (left, right)).
        dilation: as in `Windows`, or one number for both.

    Raises:
        ValueError: if a setting is no positive integer and no pair of them, the padding is none of
            these, or no window fits into the image.
    """
    window, stride = both("window", window), both("stride", stride)
    dilation = both("dilation", dilation)
    extent = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    pads = _resolve(padding, image, extent, stride)
    padded = [n + sum(pad) for n, pad in zip(image, pads, strict=True)]
    if any(n < e for n, e in zip(padded, extent, strict=True)):
        raise ValueError(
            f"a window that spans {tuple(extent)} does not fit into an image of {tuple(padded)}"
        )
    out = [(n - e) // s + 1 for n, e, s in zip(padded, extent, stride, strict=True)]
    return Windows(_pair(image), window, stride, dilation, (pads[0], pads[1]), _pair(out))


def both(name: str, value: int | Sequence[int]) -> Extent:
    """Returns two positive integers; one stands for both.

    Raises:
        ValueError: if `value` is neither, with the name of the setting.
    """
    pair = (value, value) if isinstance(value, int) else value
    try:
        first, second = map(_count, pair)
    except (TypeError, ValueError):
        first, second = 0, 0
    if min(first, second) < 1:
        raise ValueError(f"{name} must be a positive integer or two of them, got {value!r}")
    return first, second


def positive(name: str, value: int) -> int:
    """Returns a positive integer.

    Raises:
        ValueError: if `value` is none, with the name of the setting.
    """
    try:
        count = _count(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return count


def _count(value: Any) -> int:
    """An integer of whichever library; True is none, and counts nothing."""
    return 0 if isinstance(value, bool) else operator.index(value)


def _pair(values: Sequence[int]) -> Extent:
    first, second = values
    return int(first), int(second)


def _resolve(
    padding: Padding, image: Sequence[int], extent: Sequence[int], stride: Sequence[int]
) -> list[Extent]:
    if padding == "SAME":
        missing = [
            max((-(-n // s) - 1) * s + e - n, 0)
            for n, e, s in zip(image, extent, stride, strict=True)
        ]
        return [(m // 2, m - m // 2) for m in missing]
    return pads_of(padding)


def pads_of(padding: Padding) -> list[Extent]:
    """Returns what is padded in front and behind, for both directions.

    Args:
        padding: as `windows` takes it, but for "SAME", which depends on the image.

    Raises:
        ValueError: if it is none of these.
    """
    if padding == "VALID":
        return [(0, 0), (0, 0)]
    try:
        pairs = [] if isinstance(padding, str) else [tuple(pad) for pad in padding]
    except TypeError:
        pairs = []
    if [len(p) for p in pairs] != [2, 2] or min(n for p in pairs for n in p) < 0:
        raise ValueError(
            "padding must be 'SAME', 'VALID' or ((top, bottom), (left, right)), none negative; "
            f"got {padding!r}"
        )
    return [_pair(p) for p in pairs]


def unfold(x: jax.Array, w: Windows, fill: Any = 0) -> list[jax.Array]:
    """Returns what each offset of the window sees, in row-major order.

    Shapes: x (batch, height, width, channels) -> for each offset (batch, *out, channels).
    Pixels of the padding are `fill`.
    """
    (top, bottom), (left, right) = w.padding
    pads = ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0))
    x = lax.pad(x, jnp.asarray(fill, x.dtype), pads)
    span = [(n - 1) * s + 1 for n, s in zip(w.out, w.stride, strict=True)]
    batch, channels = x.shape[0], x.shape[3]
    return [
        lax.slice(x, (0, i, j, 0), (batch, i + span[0], j + span[1], channels), (1, *w.stride, 1))
        for i, j in w.offsets()
    ]


def fold(part: Callable[[int], jax.Array], w: Windows) -> jax.Array:
    """Puts part(k) back where offset k took it from, and adds up: the adjoint of `unfold`.

    Each part is spread with the stride and shifted by its offset, by one `lax.pad`, so nothing is
    scattered; what falls on the padding is cut off.

    Shapes: part(k) (batch, *out, channels) -> (batch, height, width, channels).
    """
    total = 0
    for k, (i, j) in enumerate(w.offsets()):
        y = part(k)
        pads = ((0, 0, 0), _spread(w, 0, i), _spread(w, 1, j), (0, 0, 0))
        total = total + lax.pad(y, jnp.zeros((), y.dtype), pads)
    return jnp.asarray(total)


def _spread(w: Windows, axis: int, offset: int) -> tuple[int, int, int]:
    """The padding (low, high, interior) along one axis that `fold` gives a part."""
    low = offset - w.padding[axis][0]
    span = (w.out[axis] - 1) * w.stride[axis] + 1
    return low, w.image[axis] - low - span, w.stride[axis] - 1
