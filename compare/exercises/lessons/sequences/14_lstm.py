"""LSTM: gates, and a memory beside the state.

Each step computes four things at once: how much to let in (i), to keep (f), and to give out (o),
each between 0 and 1, and what is new (g):

    z = x_t wx + h wh + b               four blocks of k columns: zi, zf, zg, zo
    i = σ(zi),  f = σ(zf),  g = tanh(zg),  o = σ(zo)
    c' = f c + i g                      the memory after the step; c before it
    h' = o tanh(c')                     the state after the step, and the output

From the last step to the first, two things are carried along: dh and dc. In each step:

    do  = dh tanh(c')
    dc' = ⟨carried from the later step⟩ + ⟨through h'⟩
    di, df, dg      the other factor of each product, times dc'
    to the step before:   dc = ...?   and dh through z, as in an RNN

Then each gate's own slope, σ' = σ (1 − σ) and tanh' = 1 − tanh², and a dense layer.

Your turn: write `backward`.
"""

import numpy as np


def forward(params, x):
    """Computes y. x (m, T, n), wx (n, 4k), wh (k, 4k), b (4k,) -> y (m, T, k)."""
    wx, wh, b = params["wx"], params["wh"], params["b"]
    h = c = np.zeros((len(x), len(wh)))
    hs, steps = [h], []
    for t in range(x.shape[1]):
        zi, zf, zg, zo = np.split(x[:, t] @ wx + h @ wh + b, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (zi, zf, zo))
        g, before = np.tanh(zg), c
        c = f * before + i * g
        h = o * np.tanh(c)
        hs.append(h)
        steps.append((i, f, g, o, before, c))
    return np.stack(hs[1:], axis=1), (x, wh, hs, steps)


def backward(dy, saved):
    """Returns {"wx": dwx, "wh": dwh, "b": db}; hs[t] is the state before step t."""
    x, wh, hs, steps = saved
    dwx, dwh = np.zeros((x.shape[2], wh.shape[1])), np.zeros_like(wh)
    db = np.zeros(wh.shape[1])
    dh_carried = dc_carried = np.zeros_like(hs[0])
    for t in reversed(range(x.shape[1])):
        i, f, g, o, before, c = steps[t]
        dh = dy[:, t] + dh_carried
        do = dh * np.tanh(c)
        dc = dc_carried + dh * o * (1 - np.tanh(c) ** 2)
        di, df, dg = dc * g, dc * before, dc * i
        dzi = di * i * (1 - i)
        dzf = df * f * (1 - f)
        dzg = dg * (1 - g**2)
        dzo = do * o * (1 - o)
        dz = np.concatenate([dzi, dzf, dzg, dzo], axis=1)
        dwx += x[:, t].T @ dz
        dwh += hs[t].T @ dz
        db += dz.sum(axis=0)
        dh_carried = dz @ wh.T
        dc_carried = dc * f
    return {"wx": dwx, "wh": dwh, "b": db}


def inputs():
    """Draws the numbers to check with: (params, x, dy)."""
    rng = np.random.default_rng(14)
    shapes = {"wx": (3, 8), "wh": (2, 8), "b": (8,)}
    params = {name: rng.normal(size=n) for name, n in shapes.items()}
    return params, rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 3, 2))


HINTS = (
    "h' = o tanh(c') is a product: do gets tanh(c'), and dc' gets dh · o · (1 − tanh²(c')) added.",
    "c' = f c + i g: the memory before the step gets dc' · f, and f gets dc' · c.",
    "Put the four dz side by side with np.concatenate(..., axis=1), in the order i, f, g, o; from "
    "there on it is the RNN.",
)
