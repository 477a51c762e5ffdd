"""Dropout: what was dropped cannot have mattered.

While a network learns, each entry is dropped with probability 1 − keep, and what is kept is divided
by keep, so that the mean stays. Here a dense layer follows:

    kept = u < keep                     u: a random number from 0 to 1 for each entry
    h    = x · kept / keep              kept counts as 1 or 0
    y    = h w

    dw          a dense layer           exercise 3
    dh          likewise
    dx_i        how does h_i change with x_i where it was kept, and where it was dropped?

The random numbers belong to the forward pass: the way back takes the same entries.

Your turn: write `backward`.
"""

import numpy as np


def forward(params, u, keep):
    """Computes y. x, u (m, n), w (n, k) -> y (m, k); keep is a number."""
    x, w = params["x"], params["w"]
    kept = u < keep
    h = x * kept / keep
    return h @ w, (kept, keep, h, w)


def backward(dy, saved):
    """Returns {"x": dx, "w": dw}, given dy (m, k)."""
    kept, keep, h, w = saved
    dw = h.T @ dy
    dh = dy @ w.T
    dx = dh * kept / keep
    return {"x": dx, "w": dw}


def inputs():
    """Draws the numbers to check with: (params, u, keep, dy)."""
    rng = np.random.default_rng(8)
    params = {"x": rng.normal(size=(5, 4)), "w": rng.normal(size=(4, 3))}
    return params, rng.uniform(size=(5, 4)), 0.6, rng.normal(size=(5, 3))


HINTS = (
    "What the dense layer multiplies w by is h, not x.",
    "Where an entry was kept h = x / keep, so the slope is a constant; else h is 0 whatever x.",
)
