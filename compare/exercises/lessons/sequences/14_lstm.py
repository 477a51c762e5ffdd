"""LSTM: gates, and a memory beside the state.

One step gets the state h and the memory c of the step before, and computes four things at once: how
much to let in (i), to keep (f) and to give out (o), each between 0 and 1, and what is new (g):

    z = x wx + h wh + b                 four blocks of k columns: zi, zf, zg, zo
    i = σ(zi),  f = σ(zf),  g = tanh(zg),  o = σ(zo)
    c' = f c + i g                      the memory after the step
    h' = o tanh(c')                     the state after the step

Through time it is the loop of exercise 13, which carries two things back, so here is one step. From
the later ones come dh' = ∂L/∂h' and the part of ∂L/∂c' that does not go through h':

    do  = dh' · tanh(c')
    dc' = ⟨what comes from the later steps⟩ + ⟨what comes through h'⟩
    di, df, dg      c' = f c + i g: each gets the other factor of its product, times dc'
    dc              to the step before: likewise

Then each gate's own slope, σ' = σ (1 − σ) and tanh' = 1 − tanh², and a dense layer.

Your turn: write `backward`.
"""

import numpy as np


def sigmoid(z):
    """Squeezes every number between 0 and 1."""
    return 1 / (1 + np.exp(-z))


def forward(params, x):
    """Computes h' and c' side by side. x (m, n), h, c (m, k), wx (n, 4k), wh (k, 4k), b (4k,)."""
    wx, wh, b, h, c = (params[name] for name in ("wx", "wh", "b", "h", "c"))
    zi, zf, zg, zo = np.split(x @ wx + h @ wh + b, 4, axis=1)
    i, f, o = sigmoid(zi), sigmoid(zf), sigmoid(zo)
    g = np.tanh(zg)
    c_after = f * c + i * g
    h_after = o * np.tanh(c_after)
    return np.concatenate([h_after, c_after], axis=1), (x, h, c, wh, i, f, g, o, c_after)


def backward(dy, saved):
    """Returns dwx, dwh, db, dh and dc, under the parameters' names; dy is dh' beside dc'."""
    x, h, c, wh, i, f, g, o, c_after = saved
    dh_after, dc_later = np.split(dy, 2, axis=1)
    do = dh_after * np.tanh(c_after)
    dc_after = dc_later + dh_after * o * (1 - np.tanh(c_after) ** 2)
    di = dc_after * g
    df = dc_after * c
    dg = dc_after * i
    dc = dc_after * f
    dzi = di * i * (1 - i)
    dzf = df * f * (1 - f)
    dzg = dg * (1 - g**2)
    dzo = do * o * (1 - o)
    dz = np.concatenate([dzi, dzf, dzg, dzo], axis=1)
    dwx = x.T @ dz
    dwh = h.T @ dz
    db = dz.sum(axis=0)
    dh = dz @ wh.T
    return {"wx": dwx, "wh": dwh, "b": db, "h": dh, "c": dc}


def inputs():
    """Draws the numbers to check with: (params, x, dy)."""
    rng = np.random.default_rng(14)
    shapes = {"wx": (3, 8), "wh": (2, 8), "b": (8,), "h": (4, 2), "c": (4, 2)}
    params = {name: rng.normal(size=n) for name, n in shapes.items()}
    return params, rng.normal(size=(4, 3)), rng.normal(size=(4, 4))


HINTS = (
    "np.split(dy, 2, axis=1) takes dh' and the later part of dc' apart.",
    "h' = o tanh(c') is a product: do gets tanh(c'), and dc' gets dh' · o · (1 − tanh²(c')) added.",
    "c' = f c + i g: the memory before the step gets dc' · f, and f gets dc' · c.",
    "Put the four dz side by side with np.concatenate(..., axis=1), in the order i, f, g, o; from "
    "there on it is a dense layer.",
)
