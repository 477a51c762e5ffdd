"""Linear and cross-entropy in chunks: never hold all scores at once.

A language model has a score for each of v words at each of m places: the largest array of all. The
loss needs it only row by row, so the forward pass takes a few rows at a time, forgets the scores,
and keeps one number a row, the logarithm of the sum:

    z = h w                         h (m, d), w (d, v): z would be (m, v)
    lse = log Σ_k exp(z_k)          one number a row, kept
    L = 1/m Σ_rows (lse − z_y)

On the way back the scores of a chunk are computed once more, and

    p = exp(z − lse)                is the softmax: no sum is needed again
    dz = ...                        exercise 5, with the m of all rows
    dh, for the rows of the chunk   a dense layer
    dw                              which chunks does it depend on?

Your turn: write `backward`, in chunks of `size` rows. The last one may be shorter.
"""

import numpy as np


def forward(params, y, size):
    """Computes L. h (m, d), w (d, v), y (m,) the right words; size is rows in a chunk."""
    h, w = params["h"], params["w"]
    total, sums = 0.0, []
    for start in range(0, len(h), size):
        z = h[start : start + size] @ w
        right = y[start : start + size]
        highest = z.max(axis=1)
        lse = highest + np.log(np.exp(z - highest[:, None]).sum(axis=1))
        total = total + (lse - z[np.arange(len(right)), right]).sum()
        sums.append(lse)
    return total / len(h), (h, w, y, size, np.concatenate(sums))


def backward(saved):
    """Returns {"h": dh, "w": dw}; lse (m,) has a number for each row."""
    h, w, y, size, lse = saved
    dh, dw = np.zeros_like(h), np.zeros_like(w)
    for start in range(0, len(h), size):
        rows = slice(start, start + size)
        p = np.exp(h[rows] @ w - lse[rows, None])
        target = np.eye(w.shape[1])[y[rows]]
        dz = (p - target) / len(h)
        dh[rows] = dz @ w.T
        dw += h[rows].T @ dz
    return {"h": dh, "w": dw}


def inputs():
    """Draws the numbers to check with: (params, y, size)."""
    rng = np.random.default_rng(17)
    params = {"h": rng.normal(size=(5, 3)), "w": rng.normal(size=(3, 4))}
    return params, np.array([3, 0, 2, 1, 3]), 2


HINTS = (
    "Loop as the forward pass does. rows = slice(start, start + size) takes what there is.",
    "Each row's softmax is exp(z − lse[rows, None]). From there on it is exercise 5.",
    "A row of h is in one chunk only; w is in all of them, and each adds its part.",
)
