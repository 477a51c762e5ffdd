"""A recurrent network: back through time.

One cell reads a sequence, step by step, and carries a state h along, zero at first:

    z_t = x_t wx + h_{t−1} wh + b
    h_t = tanh(z_t),        y = all h_t, one after the other

h_t reaches the loss on two ways: as the output y_t, and through z_{t+1} of the next step. So go
through the steps from the last to the first, and carry along what comes from the later ones:

    dh_t = dy_t + (what came from step t + 1; nothing at the last step)
    dz_t = dh_t · tanh'(z_t)
    to step t − 1:   ∂z_t/∂h_{t−1}, applied to dz_t

wx, wh and b are the same in every step, so every step adds to their derivatives.

Your turn: write `backward`.
"""

import numpy as np


def forward(params, x):
    """Computes y. x (m, T, n), wx (n, k), wh (k, k), b (k,) -> y (m, T, k)."""
    wx, wh, b = params["wx"], params["wh"], params["b"]
    h = np.zeros((len(x), len(b)))
    hs = [h]
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ wx + h @ wh + b)
        hs.append(h)
    return np.stack(hs[1:], axis=1), (x, wh, hs)


def backward(dy, saved):
    """Returns {"wx": dwx, "wh": dwh, "b": db}; hs[t] is the state before step t."""
    x, wh, hs = saved
    dwx, dwh = np.zeros((x.shape[2], len(wh))), np.zeros_like(wh)
    db = np.zeros(len(wh))
    carried = np.zeros_like(hs[0])
    for t in reversed(range(x.shape[1])):
        dh = dy[:, t] + carried
        dz = dh * (1 - hs[t + 1] ** 2)
        dwx += x[:, t].T @ dz
        dwh += hs[t].T @ dz
        db += dz.sum(axis=0)
        carried = dz @ wh.T
    return {"wx": dwx, "wh": dwh, "b": db}


def inputs():
    """Draws the numbers to check with: (params, x, dy)."""
    rng = np.random.default_rng(13)
    shapes = {"wx": (2, 3), "wh": (3, 3), "b": (3,)}
    params = {name: rng.normal(size=n) for name, n in shapes.items()}
    return params, rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 3))


HINTS = (
    "Loop with `for t in reversed(range(T))`. hs[t + 1] is h after step t, hs[t] the one before.",
    "tanh'(z_t) is 1 − h², with the h that step t gave out.",
    "wh multiplies the state before the step. What is carried on has the shape of h: dz and wh.",
)
