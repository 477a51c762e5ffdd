"""A user's model that borrows one of our rules."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from autodiff import functions, layers
from manual import rules

__all__ = ["user_cnn_losses"]


def user_cnn_losses() -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
    """Returns two losses of a CNN: with our max_pool, and with the max_pool of jax.lax.

    Both are `loss(params, batch)` as a user writes it. Everything but the pooling is jax.nn and
    optax, and `jax.grad` differentiates both. The parameters are those of `compare.problems.cnn`.
    """

    def loss(max_pool: Callable[..., jax.Array], params: Any, batch: Any) -> jax.Array:
        x, labels = batch
        for layer in params[:-1]:
            x = max_pool(jax.nn.relu(layers.conv2d(x, layer["w"], layer["b"])))
        logits = layers.dense(layers.flatten(x), params[-1]["w"], params[-1]["b"])
        return functions.LOSSES["softmax_cross_entropy_with_integer_labels"](logits, labels)

    return partial(loss, rules.max_pool), partial(loss, layers.max_pool)
