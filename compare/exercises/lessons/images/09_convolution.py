"""Convolution by loops: one small window at a time.

A kernel k slides over an image x. At each place it is multiplied with the window below it, entry by
entry, and all is added up; there are several images, colours c and kernels f:

    y[:, i, j, f] = Σ_a Σ_b Σ_c x[:, i + a, j + b, c] k[a, b, c, f] + bias[f]

At one place (i, j) this is a dense layer whose input is a window. So, for that place alone:

    dk        += the window, times dy[:, i, j]      summed over the images
    dwindow    = dy[:, i, j] times k                summed over f

But windows overlap: one pixel is in several of them, and the kernel is used at every place. What
does that mean for the two lines above?

Your turn: write `backward`, with the loops of the forward pass.
"""

import numpy as np


def forward(params):
    """Computes y. x (m, height, width, c), k (a, b, c, f), bias (f,)."""
    x, k, bias = params["x"], params["k"], params["bias"]
    a, b = k.shape[:2]
    height, width = x.shape[1] - a + 1, x.shape[2] - b + 1
    rows = []
    for i in range(height):
        row = []
        for j in range(width):
            window = x[:, i : i + a, j : j + b]
            row.append(np.einsum("mabc,abcf->mf", window, k))
        rows.append(np.stack(row, axis=1))
    return np.stack(rows, axis=1) + bias, (x, k)


def backward(dy, saved):
    """Returns {"x": dx, "k": dk, "bias": dbias}, given dy (m, height, width, f)."""
    x, k = saved
    a, b = k.shape[:2]
    dx = np.zeros_like(x)
    dk = np.zeros_like(k)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            window = x[:, i : i + a, j : j + b]
            dk += np.einsum("mabc,mf->abcf", window, dy[:, i, j])
            dx[:, i : i + a, j : j + b] += np.einsum("mf,abcf->mabc", dy[:, i, j], k)
    dbias = dy.sum(axis=(0, 1, 2))
    return {"x": dx, "k": dk, "bias": dbias}


def inputs():
    """Draws the numbers to check with: (params, dy)."""
    rng = np.random.default_rng(9)
    shapes = {"x": (2, 4, 5, 2), "k": (2, 2, 2, 3), "bias": (3,)}
    return {name: rng.normal(size=n) for name, n in shapes.items()}, rng.normal(size=(2, 3, 4, 3))


HINTS = (
    "Begin with arrays of zeros for dx and dk, and loop over i and j as the forward pass does.",
    "np.einsum says which index is summed: the one that is not behind the arrow.",
    "Each use of a value adds to its derivative. In the loop: +=, for the kernel and the window.",
)
