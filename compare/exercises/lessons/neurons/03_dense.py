"""A dense layer, anywhere in a network.

A layer does not know what comes after it. It is told dy = ∂L/∂y, one number for each entry of its
output, and has to say what that means for what went in:

    y = x w + b             y_ij = Σ_k x_ik w_kj + b_j

i counts the examples, k the inputs, j the outputs. Take the derivative by one entry at a time:

    ∂y_ij/∂w_kj = x_ik      so   dw_kj = Σ_i x_ik dy_ij         which matrix product is this?
    ∂y_ij/∂x_ik = w_kj      so   dx_ik = Σ_j dy_ij w_kj         and this?
    ∂y_ij/∂b_j  = 1         so   db_j  = Σ_i dy_ij

The shapes decide most of it: dw has the shape of w, dx that of x, db that of b.

Your turn: write `backward`, without a loop.
"""

import numpy as np


def forward(params):
    """Computes y. x (m, n_in), w (n_in, n_out), b (n_out,) -> y (m, n_out)."""
    x, w, b = params["x"], params["w"], params["b"]
    return x @ w + b, (x, w)


def backward(dy, saved):
    """Returns {"x": dx, "w": dw, "b": db}, given dy = ∂L/∂y (m, n_out)."""
    x, w = saved
    dx = dy @ w.T
    dw = x.T @ dy
    db = dy.sum(axis=0)
    return {"x": dx, "w": dw, "b": db}


def inputs():
    """Draws the numbers to check with: (params, dy)."""
    rng = np.random.default_rng(3)
    shapes = {"x": (5, 4), "w": (4, 4), "b": (4,)}
    return {name: rng.normal(size=n) for name, n in shapes.items()}, rng.normal(size=(5, 4))


HINTS = (
    "A sum over the second index of one and the first index of the other is a matrix product: "
    "(A B)_ij = Σ_k A_ik B_kj. In dw the summed index i is the first of both: transpose one.",
    "x is (m, n_in) and dy (m, n_out). Only one product of them, with one transposed, sums over "
    "the examples. Which sum over dy has the shape of b?",
)
