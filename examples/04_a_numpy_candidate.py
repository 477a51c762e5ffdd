"""Checks a backward pass that is written in NumPy, as a first course on backpropagation has it.

NumPy cannot be compiled by JAX, so the comparison runs with `jit=False`.

Run it with: python examples/04_a_numpy_candidate.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from compare import check_gradients

Array = NDArray[np.float64]
Params = dict[str, Array]


def numpy_loss_and_grad(params: Params, x: Array, y: Array) -> tuple[np.floating, Params]:
    """Logistic regression: L = −mean(y log p + (1 − y) log(1 − p)), p = σ(x w + b)."""
    p = 1 / (1 + np.exp(-(x @ params["w"] + params["b"])))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    dz = (p - y) / len(x)
    return loss, {"w": x.T @ dz, "b": dz.sum()}


def loss(params: Params, x: Array, y: Array) -> jax.Array:
    """The same loss for `jax.grad`, on the logits: log σ(z) and log(1 − σ(z)) = log σ(−z)."""
    z = x @ params["w"] + params["b"]
    return -jnp.mean(y * jax.nn.log_sigmoid(z) + (1 - y) * jax.nn.log_sigmoid(-z))


rng = np.random.default_rng(0)
params = {"w": rng.standard_normal(4), "b": np.array(0.5)}
x = rng.standard_normal((20, 4))
y = (rng.uniform(size=20) < 0.5).astype(float)

# The mathematics is always decided in float64; `dtype` is what is asked about beyond that. Without
# it a NumPy candidate is asked in the dtype of its arrays, which it is given as NumPy arrays.
report = check_gradients(numpy_loss_and_grad, loss, params, x, y, jit=False)
print(report)
assert report.agree

# With inputs a hundred times as large p rounds to 0 and to 1, and y log p becomes 0 · −∞. The
# gradient is right even there; the loss is not a number, and the report says whose.
with np.errstate(all="ignore"):
    far = check_gradients(numpy_loss_and_grad, loss, params, 100 * x, y, jit=False)
print(f"\nwith inputs a hundred times as large: {far.verdict}")
print(far.details[0])
