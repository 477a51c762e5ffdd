"""ReLU and LeakyReLU: a derivative with two cases.

    r = max(u, 0)                       ReLU: what is negative is cut off
    l = v  where v > 0, else a v        LeakyReLU: a small slope a is left of it
    y = r + l

Entry by entry, each is a straight line on either side of zero. The slope of a straight line is its
factor:

    ∂r/∂u = 1  where u > 0,   and elsewhere ...?
    ∂l/∂v = 1  where v > 0,   and elsewhere ...?

At zero itself there is no derivative; JAX takes 0 for ReLU, and no number here is zero. y is a sum,
so dr = dl = dy.

Your turn: write `backward`.
"""

import numpy as np


def forward(params, slope):
    """Computes y. u, v, y (m, n); slope is the number a."""
    u, v = params["u"], params["v"]
    y = np.maximum(u, 0) + np.where(v > 0, v, slope * v)
    return y, (u, v, slope)


def backward(dy, saved):
    """Returns {"u": du, "v": dv}, given dy = ∂L/∂y (m, n)."""
    u, v, slope = saved
    du = dy * (u > 0)
    dv = dy * np.where(v > 0, 1, slope)
    return {"u": du, "v": dv}


def inputs():
    """Draws the numbers to check with: (params, slope, dy)."""
    rng = np.random.default_rng(4)
    u, v, dy = rng.normal(size=(3, 4, 5))
    return {"u": u, "v": v}, 0.1, dy


HINTS = (
    "`u > 0` is an array of True and False, which count as 1 and 0 in a product.",
    "The chain rule is a product: dy times the slope, entry by entry. np.where chooses a slope.",
)
