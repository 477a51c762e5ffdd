"""One neuron: sigmoid and cross-entropy.

A neuron weighs its inputs, adds a bias, and squeezes the sum between 0 and 1: the probability that
the answer is yes. For the m rows of x and answers y, 0 or 1:

    z = x w + b                                     one number a row
    p = σ(z) = 1 / (1 + exp(−z))
    L = −1/m Σ [ y log p + (1 − y) log(1 − p) ]

To learn, we need to know how L changes when w and b do. By the chain rule, from L backwards:

    ∂L/∂p = 1/m · (p − y) / (p (1 − p))             of the two logarithms
    ∂p/∂z = σ'(z) = p (1 − p)                       of the sigmoid

    dz = ∂L/∂z = ∂L/∂p · ∂p/∂z                      what is left of this product?

`dz` is written for ∂L/∂z, a number for each row, here and everywhere. Now z = x w + b:

    db = ∂L/∂b      b is added in every row, so each row has a say
    dw = ∂L/∂w      w_i is multiplied by x_i in every row

Your turn: write `backward`.
"""

import numpy as np


def sigmoid(z):
    """Squeezes every number between 0 and 1."""
    return 1 / (1 + np.exp(-z))


def forward(params, x, y):
    """Computes L, and saves what the way back needs. x (m, n), y (m,), w (n,), b ()."""
    p = sigmoid(x @ params["w"] + params["b"])
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    return loss, (x, y, p)


def backward(saved):
    """Returns {"w": ∂L/∂w, "b": ∂L/∂b}, each with the shape of its parameter."""
    x, y, p = saved
    dz = (p - y) / len(y)
    dw = x.T @ dz
    db = dz.sum()
    return {"w": dw, "b": db}


def inputs():
    """Draws the numbers to check with: (params, x, y)."""
    rng = np.random.default_rng(1)
    params = {"w": rng.normal(size=3), "b": np.array(0.5)}
    return params, rng.normal(size=(5, 3)), np.array([0.0, 1.0, 1.0, 0.0, 1.0])


HINTS = (
    "Multiply ∂L/∂p by ∂p/∂z on paper: p (1 − p) is in both, once above and once below.",
    "dz has the shape of z, (m,). L is a mean over the m rows: where does 1/m go?",
    "∂z_row/∂w_i = x_row,i, so dw_i = Σ_rows x_row,i dz_row: a matrix product with x transposed.",
)
