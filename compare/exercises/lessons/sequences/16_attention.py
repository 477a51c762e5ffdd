"""Attention: each position asks all the earlier ones.

Position t has a query q_t, and each position a key and a value. How well they fit decides how much
of the value is taken:

    s = q kᵀ / √d           T × T scores; those of later positions are masked out
    p = softmax of s, row by row
    y = p v

From y backwards, y = p v is a matrix product:

    dv = pᵀ dy
    dp = dy vᵀ

Softmax, row by row. ∂p_j/∂s_l = p_j (1 if j = l, else 0) − p_j p_l, so

    ds_l = Σ_j dp_j ∂p_j/∂s_l = p_l ( dp_l − ...? )

And s is a matrix product of q and k, times a constant.

Your turn: write `backward`. There is a batch before the two axes: `k.swapaxes(1, 2)` is kᵀ of each
example. Do the masked entries need a line of their own?
"""

import numpy as np


def softmax(z):
    """Makes probabilities of the scores along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # the same result, and no overflow
    return e / e.sum(axis=-1, keepdims=True)


def forward(params):
    """Computes y. q, k, v, y (m, T, d)."""
    q, k, v = params["q"], params["k"], params["v"]
    scale = 1 / np.sqrt(q.shape[2])
    earlier = np.tri(q.shape[1], dtype=bool)
    s = np.where(earlier, q @ k.swapaxes(1, 2) * scale, -np.inf)
    p = softmax(s)
    return p @ v, (q, k, v, p, scale)


def backward(dy, saved):
    """Returns {"q": dq, "k": dk, "v": dv}, given dy (m, T, d)."""
    q, k, v, p, scale = saved
    dv = p.swapaxes(1, 2) @ dy
    dp = dy @ v.swapaxes(1, 2)
    ds = p * (dp - (dp * p).sum(axis=2, keepdims=True))
    dq = ds @ k * scale
    dk = ds.swapaxes(1, 2) @ q * scale
    return {"q": dq, "k": dk, "v": dv}


def inputs():
    """Draws the numbers to check with: (params, dy)."""
    rng = np.random.default_rng(16)
    q, k, v, dy = rng.normal(size=(4, 2, 3, 3))
    return {"q": q, "k": k, "v": v}, dy


HINTS = (
    "In ds_l the second part is p_l times a number that all l of the row share: Σ_j dp_j p_j.",
    "A masked entry has p = 0. What does that make of its ds?",
    "s_tl = scale Σ q_t k_l: dq sums over l, dk over t, and both have the scale.",
)
