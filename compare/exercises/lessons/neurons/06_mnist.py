"""An MLP that reads digits: all so far, put together, and then trained.

The digits are real ones, of MNIST, at half their size: 14 × 14 = 196 pixels from 0 to 1.

    z1 = x w1 + b1,   h = max(z1, 0)                x (m, 196), w1 (196, 16)
    z2 = h w2 + b2,   p = softmax(z2)               w2 (16, 10)
    L  = −1/m Σ_rows log p_y

You have derived each part. From L backwards, one line each:

    dz2      softmax and cross-entropy              exercise 5
    dw2, db2, dh      a dense layer                 exercise 3
    dz1      ReLU                                   exercise 4
    dw1, db1          a dense layer                 exercise 3

Your turn: write `backward`. When it is right, `check` trains the network with it, and tells how
many digits it reads that it has never seen.
"""

from pathlib import Path

import numpy as np


def softmax(z):
    """Makes probabilities of the scores along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # the same result, and no overflow
    return e / e.sum(axis=-1, keepdims=True)


def forward(params, x, y):
    """Computes L, and saves what the way back needs."""
    h = np.maximum(x @ params["w1"] + params["b1"], 0)
    p = softmax(h @ params["w2"] + params["b2"])
    loss = -np.mean(np.log(p[np.arange(len(y)), y]))
    return loss, (x, y, h, p, params["w2"])


def backward(saved):
    """Returns {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}."""
    x, y, h, p, w2 = saved
    dz2 = (p - np.eye(10)[y]) / len(y)
    dw2 = h.T @ dz2
    db2 = dz2.sum(axis=0)
    dh = dz2 @ w2.T
    dz1 = dh * (h > 0)
    dw1 = x.T @ dz1
    db1 = dz1.sum(axis=0)
    return {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}


def inputs():
    """Takes twelve digits to check with, and draws the parameters: (params, x, y)."""
    x, y, _, _ = digits()
    rng = np.random.default_rng(6)
    w1 = rng.normal(size=(196, 16)) * np.sqrt(2 / 196)
    w2 = rng.normal(size=(16, 10)) * np.sqrt(2 / 16)
    b1, b2 = 0.1 * rng.normal(size=16), 0.1 * rng.normal(size=10)
    return {"w1": w1, "b1": b1, "w2": w2, "b2": b2}, x[:12], y[:12]


def digits():
    """Reads 400 digits to learn from and 100 others: (x, y, x_test, y_test)."""
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        x, y, x_test, y_test = (file[name] for name in ("x", "y", "x_test", "y_test"))
    return x / 15, y.astype(int), x_test / 15, y_test.astype(int)


def train():
    """Takes 200 steps on all digits at once, and tells how many of the others it reads."""
    params, (x, y, x_test, y_test) = inputs()[0], digits()
    for _ in range(200):
        grads = backward(forward(params, x, y)[1])
        params = {k: params[k] - 0.5 * grads[k] for k in params}
    p = forward(params, x_test, y_test)[1][3]
    return f"trained: it reads {np.sum(p.argmax(axis=1) == y_test)} of 100 digits it never saw"


HINTS = (
    "Begin with dz2 as in exercise 5. Each of the next lines takes the d of the line before.",
    "h > 0 exactly where z1 > 0, so the slope of ReLU can be told from h.",
    "Shapes: dz2 (m, 10), dh (m, 16), dz1 (m, 16), and each dw as its w.",
)
