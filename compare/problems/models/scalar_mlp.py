"""The multilayer perceptron of the scalar engine, beside the others as something to be timed."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import autodiff.scalar_mlp
from compare.problems.model import Batch

__all__ = ["plain", "scalar_mlp"]


def scalar_mlp(
    params: Any, batch: Batch, *, activation: str, loss: str
) -> tuple[Callable[[], Any], Callable[[], tuple[float, Any]]]:
    """Prepares a forward and backward pass of the scalar engine; numbers are converted beforehand.

    Args:
        params: `[{"w": (n_in, n_out), "b": (n_out,)}, ...]`.
        batch: x (batch, n_in) and the targets that the loss asks for.
        activation: the name of the activation of the hidden layers.
        loss: the name of the loss.

    Returns:
        `step()`, which does one pass; and `result() -> (loss, grads)`, which does one too, with
        arrays of the dtype of the parameters.
    """
    numbers = plain(params), plain(batch)

    def step() -> tuple[float, Any]:
        return autodiff.scalar_mlp.loss_and_grad(*numbers, activation=activation, loss=loss)

    def result() -> tuple[float, Any]:
        value, grads = step()
        return value, [
            {name: np.array(grad[name], leaf.dtype) for name, leaf in layer.items()}
            for layer, grad in zip(params, grads, strict=True)
        ]

    return step, result


def plain(tree: Any) -> Any:
    """Turns arrays into lists of Python's numbers, as the scalar engine takes them."""
    return jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), tree)
