"""Gradient descent on all of MNIST, a block of rows at a time, and the bug of `sixty-lines`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.articles.descent import descend
from compare.training.metrics import correct
from compare.training.steps import LossAndGrad, TrainState

__all__ = [
    "WHITE", "biases_summed_over_everything", "in_blocks", "scaled", "train_in_blocks", "turned"
]  # fmt: skip

WHITE = 255.0
"""The brightest pixel."""


def turned(params: Any) -> Any:
    """Transposes the weights: from the article's (n_out, n_in) to (n_in, n_out), or back."""
    return [{**layer, "w": layer["w"].T} for layer in params]


def scaled(pixels: Any, scale: float = WHITE) -> jax.Array:
    """Turns pixels from bytes, 0 to 255, into float32 numbers from 0 to 255 / scale."""
    return pixels.astype(jnp.float32) / scale


def in_blocks(
    gradient: LossAndGrad, predict: Callable[..., Any], scale: float = WHITE
) -> LossAndGrad:
    """Computes a gradient over all rows block by block, so that a block stays in the cache.

    Pixels are kept as bytes, which take a quarter of the time to read, and become floats within
    their block. Weights are (n_out, n_in): in this layout the sum over the rows that `jax.grad`
    computes is twice as fast on a CPU. The accuracy takes the place of the model's state.

    Args:
        gradient: the gradient of a model without state.
        predict: `predict(params, state, x) -> logits` of that model.
        scale: the number that pixels are divided by.

    Returns:
        `loss_and_grad(params, state, blocks, key) -> ((loss, accuracy), grads)`, blocks being
        pixels (blocks, rows, features) and labels (blocks, rows).
    """

    def loss_and_grad(params: Any, state: Any, blocks: Any, key: jax.Array) -> Any:
        weights = turned(params)

        def add(total: Any, block: Any) -> tuple[Any, None]:
            pixels, labels = block
            x = scaled(pixels, scale)
            (loss, _), grads = gradient(weights, (), (x, labels), key)
            share = correct(predict(weights, (), x), labels).mean()
            return jax.tree.map(jnp.add, total, (loss, share, turned(grads))), None

        zeros = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), jnp.zeros(()), params))
        total, _ = jax.lax.scan(add, zeros, blocks)
        loss, share, grads = jax.tree.map(lambda t: t / len(blocks[1]), total)
        return (loss, share), grads

    return loss_and_grad


def biases_summed_over_everything(gradient: LossAndGrad) -> LossAndGrad:
    """Makes the article's bug: every unit gets the sum of the bias gradients of its layer."""

    def published(*args: Any) -> Any:
        value, grads = gradient(*args)
        return value, [{**g, "b": jnp.full_like(g["b"], g["b"].sum())} for g in grads]

    return published


def train_in_blocks(
    gradient: LossAndGrad, params: Any, blocks: Any, rate: float, iterations: int
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Trains by gradient descent, with a gradient that `in_blocks` made.

    Args:
        gradient: as `in_blocks` returns it.
        params: where it starts, weights (n_out, n_in).
        blocks: pixels (blocks, rows, features) and labels (blocks, rows).
        rate: the learning rate.
        iterations: the number of steps.

    Returns:
        The last parameters, and the loss and the accuracy before each step, (iterations,) each.
    """
    params, (loss, accuracy) = descend(
        gradient, params, blocks, rate, iterations, state=jnp.zeros(()), watch=_model_state
    )
    return params, np.asarray(loss), np.asarray(accuracy)


def _model_state(state: TrainState) -> jax.Array:
    return state.model_state
