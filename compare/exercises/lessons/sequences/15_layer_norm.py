"""Layer-norm: each example on its own.

Batch-norm takes the mean over the examples, layer-norm over the n features of each row. So nothing
depends on the rest of the batch:

    μ = 1/n Σ_j x_j,   v = 1/n Σ_j (x_j − μ)²,   s = √(v + ε)       a number for each row
    u = (x − μ) / s
    y = γ u + β                                                      γ, β: n numbers

The derivation is that of exercise 7, along the other axis:

    du = dy γ
    dx = 1/s ( du − ⟨a mean⟩ − u ⟨a mean⟩ )

γ and β are still shared by all rows.

Your turn: write `backward`. Over which axis is each sum, and each mean?
"""

import numpy as np


def forward(params):
    """Computes y. x (m, n); gamma, beta (n,)."""
    x, gamma, beta = params["x"], params["gamma"], params["beta"]
    centred = x - x.mean(axis=1, keepdims=True)
    s = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    u = centred / s
    return gamma * u + beta, (u, s, gamma)


def backward(dy, saved):
    """Returns {"x": dx, "gamma": dgamma, "beta": dbeta}, given dy (m, n)."""
    u, s, gamma = saved
    dgamma = (dy * u).sum(axis=0)
    dbeta = dy.sum(axis=0)
    du = dy * gamma
    along = (du * u).mean(axis=1, keepdims=True)
    dx = (du - du.mean(axis=1, keepdims=True) - u * along) / s
    return {"x": dx, "gamma": dgamma, "beta": dbeta}


def inputs():
    """Draws the numbers to check with: (params, dy)."""
    rng = np.random.default_rng(15)
    gamma, beta = rng.normal(size=(2, 4))
    return {"x": rng.normal(size=(4, 4)), "gamma": gamma, "beta": beta}, rng.normal(size=(4, 4))


HINTS = (
    "γ_j is used in every row: its derivative is a sum over the rows, axis 0.",
    "μ and s belong to a row: the means in dx are over axis 1, with keepdims=True.",
)
