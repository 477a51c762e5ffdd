"""A transformer block: attention and an MLP, each beside a way around it.

    n1 = norm(x)                        layer-norm without γ and β
    a  = attend(n1 wq, n1 wk, n1 wv)    exercise 16
    r  = x + a wo                       x goes around the attention
    n2 = norm(r)
    u  = max(n2 w1, 0)
    y  = r + u w2                       r goes around the MLP

You have written the parts; `norm_backward` and `attend_backward` are given. What is new is the way
they hang together: r is used twice, by the MLP and around it, and x likewise; n1 is used three
times, for the queries, the keys and the values.

    dr  = dy + ⟨through the MLP⟩
    dx  = ...?
    dn1 = ⟨through q⟩ + ⟨through k⟩ + ⟨through v⟩

Here w multiplies an array of three axes: `over_rows(a, dy)` is aᵀ dy, summed over batch and time.

Your turn: write `backward`. This is the last one.
"""

import numpy as np


def norm(x):
    """Makes mean 0 and variance 1 of each row: (m, T, d)."""
    centred = x - x.mean(axis=2, keepdims=True)
    s = np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-5)
    return centred / s, s


def norm_backward(du, u, s):
    """Goes from du back to dx, where u, s = norm(x)."""
    along = (du * u).mean(axis=2, keepdims=True)
    return (du - du.mean(axis=2, keepdims=True) - u * along) / s


def softmax(z):
    """Makes probabilities of the scores along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # the same result, and no overflow
    return e / e.sum(axis=-1, keepdims=True)


def attend(q, k, v):
    """Computes attention to the earlier positions, and its weights p."""
    earlier = np.tri(q.shape[1], dtype=bool)
    s = np.where(earlier, q @ k.swapaxes(1, 2) / np.sqrt(q.shape[2]), -np.inf)
    p = softmax(s)
    return p @ v, p


def attend_backward(da, q, k, v, p):
    """Goes from da back to (dq, dk, dv), where a, p = attend(q, k, v)."""
    dp = da @ v.swapaxes(1, 2)
    ds = p * (dp - (dp * p).sum(axis=2, keepdims=True)) / np.sqrt(q.shape[2])
    return ds @ k, ds.swapaxes(1, 2) @ q, p.swapaxes(1, 2) @ da


def over_rows(a, dy):
    """Computes dw for y = a w: aᵀ dy, summed over batch and time."""
    return np.einsum("mti,mtj->ij", a, dy)


def forward(params):
    """Computes y. x, y (m, T, d); wq, wk, wv, wo (d, d); w1 (d, n), w2 (n, d)."""
    x = params["x"]
    n1, s1 = norm(x)
    q, k, v = n1 @ params["wq"], n1 @ params["wk"], n1 @ params["wv"]
    a, p = attend(q, k, v)
    r = x + a @ params["wo"]
    n2, s2 = norm(r)
    u = np.maximum(n2 @ params["w1"], 0)
    return r + u @ params["w2"], (params, n1, s1, q, k, v, a, p, n2, s2, u)


def backward(dy, saved):
    """Returns a dict with dx, dwq, dwk, dwv, dwo, dw1 and dw2, under the parameters' names."""
    params, n1, s1, q, k, v, a, p, n2, s2, u = saved
    dw2 = over_rows(u, dy)
    du = dy @ params["w2"].T
    dz = du * (u > 0)
    dw1 = over_rows(n2, dz)
    dn2 = dz @ params["w1"].T
    dr = dy + norm_backward(dn2, n2, s2)
    dwo = over_rows(a, dr)
    da = dr @ params["wo"].T
    dq, dk, dv = attend_backward(da, q, k, v, p)
    dwq, dwk, dwv = over_rows(n1, dq), over_rows(n1, dk), over_rows(n1, dv)
    dn1 = dq @ params["wq"].T + dk @ params["wk"].T + dv @ params["wv"].T
    dx = dr + norm_backward(dn1, n1, s1)
    return {"x": dx, "wq": dwq, "wk": dwk, "wv": dwv, "wo": dwo, "w1": dw1, "w2": dw2}


def inputs():
    """Draws the numbers to check with: (params, dy)."""
    rng = np.random.default_rng(18)
    names = ("wq", "wk", "wv", "wo")
    params = {"x": rng.normal(size=(2, 3, 4)), **{k: rng.normal(size=(4, 4)) / 2 for k in names}}
    params |= {"w1": rng.normal(size=(4, 5)) / 2, "w2": rng.normal(size=(5, 4)) / 2}
    return params, rng.normal(size=(2, 3, 4))


HINTS = (
    "Go through the forward pass from the last line to the first; each line becomes one or two.",
    "A value with two ways to the loss gets two terms: dr from around the MLP (dy) and through it.",
    "After dr is complete, everything before r uses dr, never dy again.",
)
