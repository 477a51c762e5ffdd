"""A wrong backward pass: what the report says about it, and the way from there to the mistake.

Run it with: python examples/05_find_the_line.py
"""

from functools import partial

import jax
import jax.numpy as jnp

from compare import check_gradients

Params = dict[str, jax.Array]


def loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    """A layer with a skip connection, and a read-out."""
    h = x @ params["embed"]
    out = h + jnp.tanh(h @ params["w"])
    return jnp.mean((out @ params["v"] - y) ** 2)


def backward(
    params: Params, x: jax.Array, y: jax.Array, *, mended: bool
) -> tuple[jax.Array, Params]:
    """The gradient by hand, with a mistake unless it is mended."""
    h = x @ params["embed"]
    a = jnp.tanh(h @ params["w"])
    error = (h + a) @ params["v"] - y

    dprediction = 2 * error / error.size
    dout = dprediction @ params["v"].T
    dz = dout * (1 - a**2)
    dh = dz @ params["w"].T
    if mended:
        dh = dh + dout
    return jnp.mean(error**2), {
        "embed": x.T @ dh,
        "w": h.T @ dz,
        "v": (h + a).T @ dprediction,
    }


keys = jax.random.split(jax.random.key(0), 5)
params = {
    "embed": jax.random.normal(keys[0], (5, 4)),
    "w": jax.random.normal(keys[1], (4, 4)),
    "v": jax.random.normal(keys[2], (4, 3)),
}
x, y = jax.random.normal(keys[3], (7, 5)), jax.random.normal(keys[4], (7, 3))

report = check_gradients(partial(backward, mended=False), loss, params, x, y)
print(report)

# 1. Which leaves? `w` and `v` are right, so dprediction, dout and dz are: the mistake comes after.
print("\nwrong leaves:", [leaf.path for leaf in report.leaves if not leaf.agrees])

# 2. Which line? The diagnosis names the line of the loss whose derivative is wrong, and the
# mistake. `confirmed`: made on purpose in `jax.grad`'s own backward pass, that mistake gives the
# numbers of `backward`, in every leaf.
found = report.diagnosis
assert found is not None
print(f"mistake: {found.bug}, {'confirmed' if found.confirmed else 'not confirmed'}")

# 3. Mend it. That line uses h twice, as it is and inside the tanh, and `backward` followed one use.
# The derivatives of several uses add up: dh = dz @ w.T + dout.
again = check_gradients(partial(backward, mended=True), loss, params, x, y)
print(f"mended: {again.verdict}")
