"""Convolution without loops: all windows side by side, and one matrix product.

Take every window out of the image at once, by index, and lay each out as a row:

    windows[:, i, j, a, b, c] = x[:, i + a, j + b, c]
    rows = windows as a matrix, (m · height · width, a · b · c)
    y    = rows · k + bias                  k as a matrix, (a · b · c, f)

The last line is a dense layer, and you know its derivatives. What is left is the way from drows
back to the image: each pixel was copied into several windows,

    dx[:, r, s, c] = Σ of dwindows[:, i, j, a, b, c] over all i + a = r, j + b = s

Your turn: write `backward`. `where` is the index that took the windows out: x[where].
"""

import numpy as np


def forward(params):
    """Computes y. x (m, height, width, c), k (a, b, c, f), bias (f,)."""
    x, k, bias = params["x"], params["k"], params["bias"]
    a, b, c, f = k.shape
    m, height, width = len(x), x.shape[1] - a + 1, x.shape[2] - b + 1
    row = (np.arange(height)[:, None] + np.arange(a))[:, None, :, None]
    column = (np.arange(width)[:, None] + np.arange(b))[None, :, None, :]
    where = (slice(None), row, column)
    rows = x[where].reshape(m * height * width, a * b * c)
    y = (rows @ k.reshape(a * b * c, f) + bias).reshape(m, height, width, f)
    return y, (rows, where, x, k)


def backward(dy, saved):
    """Returns {"x": dx, "k": dk, "bias": dbias}, given dy (m, height, width, f)."""
    rows, where, x, k = saved
    a, b, c, f = k.shape
    m, height, width, _ = dy.shape
    dy_rows = dy.reshape(-1, f)
    dk = (rows.T @ dy_rows).reshape(k.shape)
    dbias = dy_rows.sum(axis=0)
    drows = dy_rows @ k.reshape(-1, f).T
    dwindows = drows.reshape(m, height, width, a, b, c)
    dx = np.zeros_like(x)
    np.add.at(dx, where, dwindows)
    return {"x": dx, "k": dk, "bias": dbias}


def inputs():
    """Draws the numbers to check with: (params, dy)."""
    rng = np.random.default_rng(10)
    shapes = {"x": (2, 4, 5, 2), "k": (2, 2, 2, 3), "bias": (3,)}
    return {name: rng.normal(size=n) for name, n in shapes.items()}, rng.normal(size=(2, 3, 4, 3))


HINTS = (
    "Lay dy out as rows of f numbers: then the three derivatives are those of a dense layer.",
    "Give drows the six axes of the windows: (m, height, width, a, b, c).",
    "np.add.at(dx, where, ...) adds at every index, also where one repeats; "
    "what does dx[where] += ... do there?",
)
