"""A network whose backward pass is wrong in one line, in jax, NumPy and PyTorch."""

import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(0)
PARAMS = {
    "w1": RNG.standard_normal((4, 5)),
    "b1": RNG.standard_normal(5),
    "w2": RNG.standard_normal((5, 2)),
}
X, Y = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 2))


def loss(p, x, y):
    z1 = x @ p["w1"] + p["b1"]
    a1 = jnp.tanh(z1)
    z2 = a1 @ p["w2"]
    return ((z2 - y) ** 2).mean()


def in_jax(p, x, y):
    z1 = x @ p["w1"] + p["b1"]
    a1 = jnp.tanh(z1)
    z2 = a1 @ p["w2"]
    dz2 = 2 * (z2 - y) / z2.size
    dw2 = a1.T @ dz2
    dz1 = dz2 @ p["w2"].T * (1 - z1**2)  # wrong in jax
    dw1 = x.T @ dz1
    return ((z2 - y) ** 2).mean(), {"w1": dw1, "b1": dz1.sum(0), "w2": dw2}


def through(dz, w):
    return dz @ -w.T  # wrong in NumPy


def in_numpy(p, x, y):
    p = {name: np.asarray(leaf) for name, leaf in p.items()}
    x, y = np.asarray(x), np.asarray(y)
    a1 = np.tanh(x @ p["w1"] + p["b1"])
    e = a1 @ p["w2"] - y
    dz2 = 2 * e / e.size
    da1 = through(dz2, p["w2"])
    dz1 = da1 * (1 - a1**2)
    dw1 = np.zeros_like(p["w1"])
    for row, d in zip(x, dz1, strict=True):
        dw1 += np.outer(row, d)
    db1 = np.zeros(5, x.dtype)
    for i in range(len(x)):
        db1[:] += dz1[i]
    return (e**2).mean(), {"w1": dw1, "b1": db1, "w2": a1.T @ dz2}


def left_at_zero(p, x, y):
    value, grads = right(p, x, y)
    db1 = np.zeros(5, np.asarray(x).dtype)  # a leaf at zero
    return value, {**grads, "b1": db1}


def right(p, x, y):
    a1 = jnp.tanh(x @ p["w1"] + p["b1"])
    e = a1 @ p["w2"] - y
    dz2 = 2 * e / e.size
    dz1 = dz2 @ p["w2"].T * (1 - a1**2)
    return (e**2).mean(), {"w1": x.T @ dz1, "b1": dz1.sum(0), "w2": a1.T @ dz2}


def filtered(p, x, y):
    return (jnp.fft.irfft(jnp.fft.rfft(x) * jnp.fft.rfft(p["k"]), n=4) * y).sum()


def in_fourier(p, x, y):
    spectrum = jnp.fft.rfft(x)
    factor = jnp.fft.rfft(p["k"])
    out = jnp.fft.irfft(spectrum * factor, n=4)
    back = jnp.fft.rfft(y) * spectrum  # wrong in Fourier
    return (out * y).sum(), {"k": jnp.fft.irfft(back, n=4).sum(0)}


def line_of(text):
    """`file:line` of the line of this file that contains the text."""
    with open(__file__, encoding="utf-8") as file:
        (number,) = (i for i, line in enumerate(file, 1) if text in line and "line_of(" not in line)
    return f"{__file__}:{number}"


def in_torch(p, x, y):
    """Goes back by hand, on tensors; PyTorch's own tape is not used."""
    a1 = (x @ p["w1"] + p["b1"]).tanh()
    e = a1 @ p["w2"] - y
    dz2 = 2 * e / e.numel()
    dw2 = a1.t().mm(dz2)
    dz1 = dz2.mm(p["w2"].t()) * a1  # wrong in PyTorch
    dw1 = x.t().mm(dz1)
    return (e**2).mean(), {"w1": dw1, "b1": dz1.sum(dim=0), "w2": dw2}
