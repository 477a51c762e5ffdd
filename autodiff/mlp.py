"""The multilayer perceptron in the idiom of jax.nn and optax, differentiated by `jax.grad`."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from autodiff.functions import ACTIVATIONS, INITIALIZERS, LOSSES, choose

__all__ = ["Params", "init", "loss", "loss_and_grad", "predict"]

Params = list[dict[str, jax.Array]]
Batch = tuple[jax.Array, jax.Array]


def init(
    key: jax.Array,
    sizes: Sequence[int],
    *,
    initializer: str = "he_normal",
    dtype: Any = jnp.float32,
) -> Params:
    """Draws the parameters of a network with layers of these sizes, input first.

    Returns:
        One `{"w": (n_in, n_out), "b": (n_out,)}` a layer; biases are zero.

    Raises:
        ValueError: if there are fewer than two sizes or one is not positive, or if there is no
            initializer of that name.
    """
    if len(sizes) < 2 or any(size <= 0 for size in sizes):
        raise ValueError(f"sizes must be at least two positive integers, got {tuple(sizes)}")
    weights = choose("initializer", INITIALIZERS, initializer)
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": weights(k, shape, dtype), "b": jax.nn.initializers.zeros(k, shape[1:], dtype)}
        for k, shape in zip(keys, pairwise(sizes), strict=True)
    ]


def predict(
    params: Params, x: jax.Array, *, activation: str | Callable[..., jax.Array] = "relu"
) -> jax.Array:
    """Computes the logits: x (batch, n_in) -> (batch, n_out).

    Raises:
        ValueError: if there is no activation of that name.
    """
    activate = choose("activation", ACTIVATIONS, activation)
    for layer in params[:-1]:
        x = activate(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(
    params: Params,
    batch: Batch,
    *,
    activation: str | Callable[..., jax.Array] = "relu",
    loss: str | Callable[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """Computes the loss of the logits of batch = (x, targets), a scalar.

    Args:
        params: as `init` makes them.
        batch: x (batch, n_in) and the targets that the loss asks for.
        activation: the name of an activation, or a function of one array.
        loss: the name of a loss, or a function of (logits, targets).

    Raises:
        ValueError: if there is no activation or no loss of that name.
        AssertionError: if the targets do not fit the logits.
    """
    x, targets = batch
    return choose("loss", LOSSES, loss)(predict(params, x, activation=activation), targets)


loss_and_grad = jax.value_and_grad(loss)
