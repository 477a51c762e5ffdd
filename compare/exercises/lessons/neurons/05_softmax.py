"""Softmax and cross-entropy: how wrong is a choice among many?

A row of z has a score for each of n classes. Softmax makes probabilities of it, and the loss is the
mean of −log of the probability given to the right class y of each row:

    p_j = exp(z_j) / Σ_k exp(z_k)
    L   = −1/m Σ_rows log p_y

Every class depends on every score, since all share the sum below. For one row:

    log p_y = z_y − log Σ_k exp(z_k)

    ∂(z_y)/∂z_j = 1 if j is y, else 0
    ∂(log Σ_k exp(z_k))/∂z_j = exp(z_j) / Σ_k exp(z_k) = ...?

    dz_j = ∂L/∂z_j = −1/m (the first − the second)

Your turn: write `backward`.
"""

import numpy as np


def softmax(z):
    """Makes probabilities of the scores along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # the same result, and no overflow
    return e / e.sum(axis=-1, keepdims=True)


def forward(params, y):
    """Computes L. z (m, n) scores, y (m,) the right classes, as integers."""
    p = softmax(params["z"])
    loss = -np.mean(np.log(p[np.arange(len(y)), y]))
    return loss, (p, y)


def backward(saved):
    """Returns {"z": dz}, dz (m, n)."""
    p, y = saved
    target = np.eye(p.shape[1])[y]
    dz = (p - target) / len(y)
    return {"z": dz}


def inputs():
    """Draws the numbers to check with: (params, y)."""
    rng = np.random.default_rng(5)
    return {"z": rng.normal(size=(5, 4))}, np.array([2, 0, 3, 2, 1])


HINTS = (
    "The derivative of log Σ exp(z_k) by z_j is a quotient that has a name already: look at p.",
    "np.eye(n)[y] has a row for each example, with a 1 at its right class and 0 elsewhere.",
    "Per row, dz is the difference of two rows of n numbers, each of which adds up to 1.",
)
