"""The multilayer perceptron with batch normalisation and dropout, differentiated by `jax.grad`."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from autodiff.functions import INITIALIZERS, LOSSES, choose
from autodiff.layers import batch_norm, batch_norm_inference, dense, dropout

__all__ = ["Params", "State", "init", "loss", "loss_and_grad", "predict"]

Params = list[dict[str, jax.Array]]
State = list[dict[str, jax.Array]]
Batch = tuple[jax.Array, jax.Array]


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


def predict(params: Params, state: State, x: jax.Array, *, epsilon: float = 1e-5) -> jax.Array:
    """Computes the logits in inference: with the running statistics, and without dropout.

    Shapes: x (batch, n_in) -> (batch, n_out).

    Args:
        params: as `init` makes them.
        state: the running statistics.
        x: inputs.
        epsilon: added to the variances.
    """
    for layer, running in zip(params[:-1], state, strict=True):
        z = dense(x, layer["w"], layer["b"])
        statistics = running["mean"], running["var"]
        z = batch_norm_inference(z, layer["scale"], layer["bias"], *statistics, epsilon=epsilon)
        x = jax.nn.relu(z)
    return dense(x, params[-1]["w"], params[-1]["b"])


def loss(
    params: Params,
    state: State,
    batch: Batch,
    key: jax.Array,
    *,
    rate: float = 0.3,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
    loss: str | Callable[..., jax.Array] = "sigmoid_binary_cross_entropy",
) -> tuple[jax.Array, State]:
    """Computes the loss in training of the logits of batch = (x, targets), and the new state.

    Args:
        params: as `init` makes them.
        state: the running statistics before this batch.
        batch: x (batch, n_in) and the targets that the loss asks for.
        key: one key, split into one for each mask.
        rate: of dropout.
        momentum: of the running statistics, the weight of the past.
        epsilon: added to the variances.
        loss: the name of a loss, or a function of (logits, targets).

    Raises:
        ValueError: if there is no loss of that name, or rate or momentum is out of range.
        AssertionError: if the targets do not fit the logits.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be between 0 and 1, got {momentum}")
    x, targets = batch
    new_state = []
    for layer, running, k in zip(
        params[:-1], state, jax.random.split(key, len(state)), strict=True
    ):
        z = dense(x, layer["w"], layer["b"])
        z, mean, var = batch_norm(z, layer["scale"], layer["bias"], epsilon=epsilon)
        x = dropout(k, jax.nn.relu(z), rate=rate)
        batch_statistics = {"mean": mean, "var": var}
        new_state.append(
            {
                name: momentum * running[name] + (1 - momentum) * batch_statistics[name]
                for name in running
            }
        )
    logits = dense(x, params[-1]["w"], params[-1]["b"])
    return choose("loss", LOSSES, loss)(logits, targets), new_state


loss_and_grad = jax.value_and_grad(loss, has_aux=True)
