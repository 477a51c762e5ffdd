"""A recurrent network whose hand-derived backward pass goes wrong in one line."""

import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(0)
PARAMS = {"W": RNG.normal(size=(3, 2)), "U": RNG.normal(size=(3, 3))}
XS = RNG.normal(size=(4, 2))


def loss(p, xs):
    h, total = jnp.zeros(3), 0.0
    for x in xs:
        h = jnp.tanh(p["W"] @ x + p["U"] @ h)
        total += h @ h
    return total


def states(p, xs):
    hs = [np.zeros(3)]
    for x in xs:
        hs.append(np.tanh(p["W"] @ x + p["U"] @ hs[-1]))
    return hs


def hands_on_too_much(p, xs):
    hs = states(p, xs)
    dw, du, dh = np.zeros_like(p["W"]), np.zeros_like(p["U"]), np.zeros(3)
    for t in reversed(range(len(xs))):
        dh = dh + 2 * hs[t + 1]
        dz = dh * (1 - hs[t + 1] ** 2)
        dw += np.outer(dz, xs[t])
        du += np.outer(dz, hs[t])
        dh = p["U"].T @ dh  # wrong: dz is handed on
    return np.sum(np.array(hs) ** 2), {"W": dw, "U": du}


def a_turn_is_left_out(p, xs):
    hs = states(p, xs)
    dw, du, dh = np.zeros_like(p["W"]), np.zeros_like(p["U"]), np.zeros(3)
    for t in range(len(xs) - 1, 0, -1):  # wrong: not the first
        dz = (dh + 2 * hs[t + 1]) * (1 - hs[t + 1] ** 2)
        dw += np.outer(dz, xs[t])
        du += np.outer(dz, hs[t])
        dh = p["U"].T @ dz
    return np.sum(np.array(hs) ** 2), {"W": dw, "U": du}


def written_over(w, d_out):
    """The derivative by the input of a correlation."""
    dx, total = np.zeros(5), np.zeros(3)
    for i in range(3):
        dx[i : i + 3] = d_out[i] * w  # wrong: windows overlap
        total[i] = d_out[i]
    for row in (d_out, w):
        total[:] = total + row
    return {"x": dx, "total": total}


def line_of(text):
    """`file:line` of the line of this file that contains the text."""
    with open(__file__, encoding="utf-8") as file:
        (number,) = (i for i, line in enumerate(file, 1) if text in line and "line_of(" not in line)
    return f"{__file__}:{number}"
