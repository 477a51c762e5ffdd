"""Holds a backward pass written by hand against `jax.grad`.

Run it with: python examples/01_check_a_backward_pass.py
"""

import jax
import jax.numpy as jnp

from compare import assert_gradients_agree, check_gradients

Params = dict[str, jax.Array]


def loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    """The mean squared error of a network with one hidden layer."""
    hidden = jnp.tanh(x @ params["w1"] + params["b1"])
    return jnp.mean((hidden @ params["w2"] + params["b2"] - y) ** 2)


def loss_and_grad(params: Params, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Params]:
    """The same loss, and its gradient by the chain rule: a tree like `params`."""
    hidden = jnp.tanh(x @ params["w1"] + params["b1"])
    error = hidden @ params["w2"] + params["b2"] - y

    dprediction = 2 * error / error.size
    dhidden = dprediction @ params["w2"].T
    dz = dhidden * (1 - hidden**2)
    return jnp.mean(error**2), {
        "w1": x.T @ dz,
        "b1": dz.sum(axis=0),
        "w2": hidden.T @ dprediction,
        "b2": dprediction.sum(axis=0),
    }


# Any point will do, but no special one: zero biases and zero inputs hide mistakes.
keys = jax.random.split(jax.random.key(0), 6)
params = {
    "w1": jax.random.normal(keys[0], (5, 4)),
    "b1": jax.random.normal(keys[1], (4,)),
    "w2": jax.random.normal(keys[2], (4, 3)),
    "b2": jax.random.normal(keys[3], (3,)),
}
x, y = jax.random.normal(keys[4], (7, 5)), jax.random.normal(keys[5], (7, 3))

report = check_gradients(loss_and_grad, loss, params, x, y)
print(report)

# The report is data as well.
print()
for leaf in report.leaves:
    print(f"{leaf.path}: off by {leaf.max_abs:.1e}, of {leaf.tolerance:.1e} that rounding explains")

# In a test: an AssertionError whose message is the report.
assert_gradients_agree(loss_and_grad, loss, params, x, y)
