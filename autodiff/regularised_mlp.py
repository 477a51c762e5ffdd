"""The multilayer perceptron with batch normalisation and dropout, differentiated by `jax.grad`.

The normalisation and the dropout are written as flax writes them, in `jax.numpy` and `jax.random`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from autodiff.functions import INITIALIZERS, LOSSES, choose

__all__ = ["Params", "State", "init", "loss", "loss_and_grad", "predict"]

Params = list[dict[str, jax.Array]]
State = list[dict[str, jax.Array]]


def init(
    key: jax.Array,
    sizes: Sequence[int],
    *,
    initializer: str = "he_normal",
    dtype: Any = jnp.float32,
) -> tuple[Params, State]:
    """Draws the parameters of a network with layers of these sizes, input first.

    Returns:
        The parameters, `{"w": (n_in, n_out), "b": (n_out,)}` a layer, and in hidden ones
        `"scale"` and `"bias"` (n_out,) of the normalisation, ones and zeros; and the state,
        `{"mean": (n_out,), "var": (n_out,)}` a hidden layer, zeros and ones.

    Raises:
        ValueError: if there are fewer than two sizes or one is not positive, or if there is no
            initializer of that name.
    """
    if len(sizes) < 2 or any(size <= 0 for size in sizes):
        raise ValueError(f"sizes must be at least two positive integers, got {tuple(sizes)}")
    weights = choose("initializer", INITIALIZERS, initializer)
    params, state = [], []
    for k, (n_in, n_out) in zip(
        jax.random.split(key, len(sizes) - 1), pairwise(sizes), strict=True
    ):
        zeros, ones = jnp.zeros(n_out, dtype), jnp.ones(n_out, dtype)
        w = weights(k, (n_in, n_out), dtype)
        params.append({"w": w, "b": zeros, "scale": ones, "bias": zeros})
        state.append({"mean": zeros, "var": ones})
    for name in ("scale", "bias"):
        del params[-1][name]
    return params, state[:-1]


def _normalise(
    z: jax.Array, layer: dict[str, jax.Array], mean: jax.Array, var: jax.Array, epsilon: float
) -> jax.Array:
    return (z - mean) * lax.rsqrt(var + epsilon) * layer["scale"] + layer["bias"]


def predict(params: Params, state: State, x: jax.Array, *, epsilon: float = 1e-5) -> jax.Array:
    """The logits in inference: running statistics, no dropout. x (batch, n_in) -> (batch, n_out).

    Args:
        params: as `init` makes them.
        state: the running statistics.
        x: inputs.
        epsilon: added to the variances.
    """
    for layer, running in zip(params[:-1], state, strict=True):
        z = x @ layer["w"] + layer["b"]
        x = jax.nn.relu(_normalise(z, layer, running["mean"], running["var"], epsilon))
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(
    params: Params,
    state: State,
    batch: tuple[jax.Array, jax.Array],
    key: jax.Array,
    *,
    rate: float = 0.3,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
    loss: str = "sigmoid_binary_cross_entropy",
) -> tuple[jax.Array, State]:
    """The loss called `loss` of the logits of batch = (x, targets) in training, and the new state.

    Args:
        params: as `init` makes them.
        state: the running statistics before this batch.
        batch: x (batch, n_in) and the targets that the loss asks for.
        key: one key, split into one for each mask.
        rate: of dropout.
        momentum: of the running statistics, the weight of the past.
        epsilon: added to the variances.
        loss: the name of a loss.

    Raises:
        ValueError: if there is no loss of that name, or rate or momentum is out of range.
        AssertionError: if the targets do not fit the logits.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout's rate must be in [0, 1), got {rate}")
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be between 0 and 1, got {momentum}")
    x, targets = batch
    # In float32 by name, or the masks would change with jax_enable_x64.
    keep = jnp.float32(1 - rate)
    new_state = []
    for layer, running, k in zip(
        params[:-1], state, jax.random.split(key, len(state)), strict=True
    ):
        z = x @ layer["w"] + layer["b"]
        mean, var = z.mean(axis=0), z.var(axis=0)
        x = jax.nn.relu(_normalise(z, layer, mean, var, epsilon))
        x = jnp.where(jax.random.bernoulli(k, keep, x.shape), x / (1 - rate), 0)
        batch_statistics = {"mean": mean, "var": var}
        new_state.append(
            {
                name: momentum * running[name] + (1 - momentum) * batch_statistics[name]
                for name in running
            }
        )
    logits = x @ params[-1]["w"] + params[-1]["b"]
    return choose("loss", LOSSES, loss)(logits, targets), new_state


loss_and_grad = jax.value_and_grad(loss, has_aux=True)
