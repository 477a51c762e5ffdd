"""The multilayer perceptron in the idiom of jax.nn and optax, differentiated by `jax.grad`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "LOSSES",
    "Params",
    "init",
    "loss",
    "loss_and_grad",
    "predict",
]

Params = list[dict[str, jax.Array]]


def _mean(per_example: Callable[..., jax.Array], logits: jax.Array, targets: jax.Array):
    """The mean of one of optax's losses, refusing targets that optax would broadcast."""
    if jnp.issubdtype(targets.dtype, jnp.floating):
        chex.assert_equal_shape([logits, targets])
    return per_example(logits, targets).mean()


ACTIVATIONS: dict[str, Callable[..., jax.Array]] = {
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "gelu_erf": partial(jax.nn.gelu, approximate=False),
    "identity": jax.nn.identity,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jax.nn.tanh,
}

LOSSES: dict[str, Callable[..., jax.Array]] = {
    "mean_squared_error": partial(_mean, optax.losses.squared_error),
    "sigmoid_binary_cross_entropy": partial(_mean, optax.losses.sigmoid_binary_cross_entropy),
    "softmax_cross_entropy": partial(_mean, optax.losses.softmax_cross_entropy),
    "softmax_cross_entropy_with_integer_labels": partial(
        _mean, optax.losses.softmax_cross_entropy_with_integer_labels
    ),
}

INITIALIZERS: dict[str, Callable[..., jax.Array]] = {
    "glorot_normal": jax.nn.initializers.glorot_normal(),
    "glorot_uniform": jax.nn.initializers.glorot_uniform(),
    "he_normal": jax.nn.initializers.he_normal(),
    "he_uniform": jax.nn.initializers.he_uniform(),
    "lecun_normal": jax.nn.initializers.lecun_normal(),
    "zeros": jax.nn.initializers.zeros,
}


def _choose(kind: str, table: Mapping[str, Callable[..., jax.Array]], name: str):
    try:
        return table[name]
    except KeyError:
        names = ", ".join(sorted(table))
        raise ValueError(f"unknown {kind} {name!r}; choose from {names}") from None


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
    weights = _choose("initializer", INITIALIZERS, initializer)
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": weights(k, shape, dtype), "b": jax.nn.initializers.zeros(k, shape[1:], dtype)}
        for k, shape in zip(keys, pairwise(sizes), strict=True)
    ]


def predict(params: Params, x: jax.Array, *, activation: str = "relu") -> jax.Array:
    """The logits: x (batch, n_in) -> (batch, n_out).

    Raises:
        ValueError: if there is no activation of that name.
    """
    activate = _choose("activation", ACTIVATIONS, activation)
    for layer in params[:-1]:
        x = activate(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(
    params: Params,
    batch: tuple[jax.Array, jax.Array],
    *,
    activation: str = "relu",
    loss: str = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """The loss called `loss` of the logits of batch = (x, targets), a scalar.

    Raises:
        ValueError: if there is no activation or no loss of that name.
        AssertionError: if the targets do not fit the logits.
    """
    x, targets = batch
    return _choose("loss", LOSSES, loss)(predict(params, x, activation=activation), targets)


loss_and_grad = jax.value_and_grad(loss)
