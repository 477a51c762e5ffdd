"""Reads a picture of a digit and prepares it as MNIST's images were prepared.

Those are white on black, scaled to fit a box of 20×20 pixels, and placed in 28×28 so that their
centre of mass is in the middle (LeCun et al. 1998, §III-A). A network trained on them knows no
others.
"""

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from compare.datasets.dataset import DataError
from compare.files import open_regular

__all__ = ["read"]

_SIDE, _BOX = 28, 20
_MOST_PIXELS, _MOST_JPEG_PIXELS = 12_000_000, 40_000_000
"""The largest picture that is decoded, in some 100 MB; a JPEG's decoder keeps another 240 MB."""
_LARGE = 1024
_INK = 0.1
"""A pixel that is brighter than this belongs to the digit."""


def read(path: Path) -> np.ndarray:
    """Reads the picture in a file.

    Dark ink on light paper is inverted. A picture of 28×28 pixels is not scaled or moved.

    Returns:
        (784,) float32 from 0, the paper, to 1, the ink.

    Raises:
        DataError: Pillow is not installed; the file is no picture, is animated or too large, or all
            of it has one colour.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("reading pictures needs Pillow; pip install 'handgrad[report]'") from error
    try:
        with open_regular(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a file, and harmless
            grey = _grey(Image, file)
    except _RefusedError as error:
        raise DataError(f"{path}: {error}; name a PNG or JPEG of one digit") from error
    except Exception as error:  # a damaged picture has many ways to say so, SyntaxError among them
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no picture"
        raise DataError(f"{path}: {reason}; name a PNG or JPEG of one digit") from error
    pixels = np.asarray(grey, np.float32) / 255
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if np.median(edge) > 0.5:
        pixels = 1 - pixels
    ink = np.argwhere(pixels > _INK)
    if not len(ink):
        raise DataError(f"{path}: is of one colour; name a picture of one digit")
    if pixels.shape != (_SIDE, _SIDE):
        (top, left), (bottom, right) = ink.min(axis=0), ink.max(axis=0) + 1
        pixels = _centred(_scaled(Image, pixels[top:bottom, left:right]))
    return pixels.reshape(-1)


class _RefusedError(Exception):
    """A picture that would not be read right, or would take too much memory."""


def _grey(pillow: Any, file: BinaryIO) -> Any:
    """Reads a picture as shades of grey on white paper; its size is looked at before its pixels."""
    with pillow.open(file, formats=("PNG", "JPEG")) as image:
        if image.format == "PNG" and image.is_animated:
            raise _RefusedError("is animated")
        _require_at_most(_MOST_JPEG_PIXELS if image.format == "JPEG" else _MOST_PIXELS, image)
        # A JPEG is decoded at a half, a quarter or an eighth of its size: a camera's are large.
        part = max(1, max(image.size) // _LARGE)
        image.draft(None, (image.width // part, image.height // part))
        _require_at_most(_MOST_PIXELS, image)
        if image.mode.startswith("I;16") and "transparency" not in image.info:
            return pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
            raise _RefusedError(f"has pixels of an unknown kind ({image.mode})")
        if "transparency" in image.info:
            image = image.convert("RGBA")
        shades = image.convert("L")
        if "A" in image.getbands():
            paper = pillow.new("L", image.size, 255)
            paper.paste(shades, mask=image.getchannel("A"))
            return paper
        return shades


def _require_at_most(most: int, image: Any) -> None:
    if image.width * image.height > most:
        raise _RefusedError(f"has {image.width}×{image.height} pixels, more than {most:,}")


def _scaled(image: Any, pixels: np.ndarray) -> np.ndarray:
    """Scales the digit so that its longer side is as long as the box."""
    height, width = (max(1, round(_BOX * n / max(pixels.shape))) for n in pixels.shape)
    small = image.fromarray(np.rint(255 * pixels).astype(np.uint8)).resize((width, height))
    return np.asarray(small, np.float32) / 255


def _centred(digit: np.ndarray) -> np.ndarray:
    """Places the digit on black, with its centre of mass in the middle as far as it fits."""
    height, width = digit.shape
    rows, columns = digit.sum(axis=1), digit.sum(axis=0)
    middle = (_SIDE - 1) / 2
    top = round(middle - float(rows @ np.arange(height) / rows.sum()))
    left = round(middle - float(columns @ np.arange(width) / columns.sum()))
    top, left = np.clip(top, 0, _SIDE - height), np.clip(left, 0, _SIDE - width)
    picture = np.zeros((_SIDE, _SIDE), np.float32)
    picture[top : top + height, left : left + width] = digit
    return picture
