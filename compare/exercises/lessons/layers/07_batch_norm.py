"""Batch-norm: the mean and the variance depend on x too.

Each column of x is made to have mean 0 and variance 1 over the m rows, then scaled and shifted:

    μ = 1/m Σ x,   v = 1/m Σ (x − μ)²,   s = √(v + ε)
    n = (x − μ) / s
    y = γ n + β

γ and β are easy. For n, take one column. If x_i grows, n_i grows, but μ and s move as well, and
with them every n_k of the column:

    dn = dy γ
    ∂μ/∂x_i = 1/m
    ∂s/∂x_i = (x_i − μ) / (m s) = n_i / m           show this: the term with ∂μ vanishes

    dx_i = Σ_k dn_k ∂n_k/∂x_i,     n_k = (x_k − μ) / s
         = 1/s ( dn_i − ⟨what comes by μ⟩ − ⟨what comes by s⟩ )

Your turn: find the two terms, and write `backward`.
"""

import numpy as np


def forward(params):
    """Computes y. x (m, n); gamma, beta (n,)."""
    x, gamma, beta = params["x"], params["gamma"], params["beta"]
    centred = x - x.mean(axis=0)
    s = np.sqrt((centred**2).mean(axis=0) + 1e-5)
    n = centred / s
    return gamma * n + beta, (n, s, gamma)


def backward(dy, saved):
    """Returns {"x": dx, "gamma": dgamma, "beta": dbeta}, given dy (m, n)."""
    n, s, gamma = saved
    dgamma = (dy * n).sum(axis=0)
    dbeta = dy.sum(axis=0)
    dn = dy * gamma
    dx = (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0)) / s
    return {"x": dx, "gamma": dgamma, "beta": dbeta}


def inputs():
    """Draws the numbers to check with: (params, dy)."""
    rng = np.random.default_rng(7)
    gamma, beta = rng.normal(size=(2, 3))
    return {"x": rng.normal(size=(5, 3)), "gamma": gamma, "beta": beta}, rng.normal(size=(5, 3))


HINTS = (
    "γ is a factor and β a summand, shared by all rows of their column: sum over the rows.",
    "By μ: each n_k loses 1/(m s), so the term is the mean of dn over the column.",
    "By s: ∂n_k/∂s = −n_k / s, times ∂s/∂x_i = n_i / m, summed over k with dn_k: n_i times a mean.",
)
