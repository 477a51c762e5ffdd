"""Functions that a model chooses by name, taken from jax.nn and optax."""

from collections.abc import Callable, Mapping
from functools import partial

import chex
import jax
import jax.numpy as jnp
import optax

__all__ = ["ACTIVATIONS", "INITIALIZERS", "LOSSES", "choose"]


def _mean(
    per_example: Callable[..., jax.Array], logits: jax.Array, targets: jax.Array
) -> jax.Array:
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
    "small_normal": jax.nn.initializers.normal(0.01),
    "zeros": jax.nn.initializers.zeros,
}


def choose(
    kind: str, table: Mapping[str, Callable[..., jax.Array]], name: str | Callable[..., jax.Array]
) -> Callable[..., jax.Array]:
    """Returns the function called `name`; a function of one's own is returned as it is.

    Raises:
        ValueError: if there is none of that name, with the names there are.
    """
    if not isinstance(name, str):
        return name
    if name not in table:
        names = ", ".join(sorted(table))
        raise ValueError(f"unknown {kind} {name!r}; choose from {names}")
    return table[name]
