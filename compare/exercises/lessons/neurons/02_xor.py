"""XOR: two layers, 2-4-1, that learn what one neuron cannot.

No straight line separates (0,0), (1,1) from (0,1), (1,0). A hidden layer of four can:

    z1 = x w1 + b1,   h = tanh(z1)                  x (m, 2), w1 (2, 4)
    z2 = h w2 + b2,   p = σ(z2)                     w2 (4, 1)
    L  = −1/m Σ [ y log p + (1 − y) log(1 − p) ]    y (m, 1)

The last layer is the neuron of the first exercise, with h for its inputs:

    dz2 = (p − y) / m
    dw2 = hᵀ dz2
    db2 = Σ_rows dz2

Now one layer further down. h reaches L through z2 alone, and z1 through h alone:

    dh  = ∂L/∂h         z2 = h w2 + b2: every h_k of a row is multiplied by w2_k
    dz1 = ∂L/∂z1        tanh'(z) = 1 − tanh²(z), entry by entry
    dw1, db1            as dw2 and db2, one layer down

Your turn: write `backward`. When it is right, `check` trains the network with it.
"""

import numpy as np


def sigmoid(z):
    """Squeezes every number between 0 and 1."""
    return 1 / (1 + np.exp(-z))


def forward(params, x, y):
    """Computes L, and saves what the way back needs."""
    h = np.tanh(x @ params["w1"] + params["b1"])
    p = sigmoid(h @ params["w2"] + params["b2"])
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    return loss, (x, y, h, p, params["w2"])


def backward(saved):
    """Returns {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}."""
    x, y, h, p, w2 = saved
    dz2 = (p - y) / len(y)
    dw2 = h.T @ dz2
    db2 = dz2.sum(axis=0)
    dh = dz2 @ w2.T
    dz1 = dh * (1 - h**2)
    dw1 = x.T @ dz1
    db1 = dz1.sum(axis=0)
    return {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}


def inputs():
    """Draws the numbers to check with: (params, x, y)."""
    rng = np.random.default_rng(2)
    shapes = {"w1": (2, 4), "b1": (4,), "w2": (4, 1), "b2": (1,)}
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return {k: rng.normal(size=n) for k, n in shapes.items()}, x, np.array([[0.0, 1, 1, 0]]).T


def train():
    """Takes 500 steps against the gradient, and tells what the network answers then."""
    params, x, y = inputs()
    for _ in range(500):
        grads = backward(forward(params, x, y)[1])
        params = {k: params[k] - 2 * grads[k] for k in params}
    answers = forward(params, x, y)[1][3].ravel()
    return f"trained: 00, 01, 10, 11 give {', '.join(f'{p:.2f}' for p in answers)}"


HINTS = (
    "dh has the shape of h, (m, 4). You have dz2 (m, 1) and w2 (4, 1): which product fits?",
    "tanh(z1) is h, which was saved: tanh'(z1) can be written with h alone.",
    "Write dz1 = dh times the slope of tanh, entry by entry; from there on the first layer is like "
    "the last one, with x for h.",
)
