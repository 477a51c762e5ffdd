"""Max-pooling: only the winner counts.

The image is cut into windows of 2 × 2, and of each the largest entry is kept:

    windows[:, i, a, j, b, c] = x[:, 2 i + a, 2 j + b, c]           a, b: 0 or 1
    y[:, i, j, c] = max over a and b of windows[:, i, a, j, b, c]

If the largest entry of a window grows a little, y grows as much. If another one does, y stays:

    ∂y/∂(an entry of its window) = 1 if it is the largest, else ...?

    dwindows = that, times the dy of the window
    dx       = dwindows, put back together as the image was cut

Your turn: write `backward`. (No two entries are equal here.)
"""

import numpy as np


def forward(params):
    """Computes y. x (m, height, width, c), both even -> y (m, height / 2, width / 2, c)."""
    x = params["x"]
    m, height, width, c = x.shape
    windows = x.reshape(m, height // 2, 2, width // 2, 2, c)
    y = windows.max(axis=(2, 4))
    return y, (windows, y)


def backward(dy, saved):
    """Returns {"x": dx}, given dy (m, height / 2, width / 2, c)."""
    windows, y = saved
    largest = windows == y[:, :, None, :, None]
    dwindows = largest * dy[:, :, None, :, None]
    m, i, a, j, b, c = windows.shape
    dx = dwindows.reshape(m, i * a, j * b, c)
    return {"x": dx}


def inputs():
    """Draws the numbers to check with: (params, dy)."""
    rng = np.random.default_rng(11)
    return {"x": rng.normal(size=(2, 4, 4, 3))}, rng.normal(size=(2, 2, 2, 3))


HINTS = (
    "Comparing the windows with y tells which entry won. y needs two axes more to be compared: "
    "y[:, :, None, :, None].",
    "dy needs the same two axes. The windows lie in memory as the image does: one reshape back.",
)
