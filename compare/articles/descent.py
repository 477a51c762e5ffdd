"""Gradient descent on all rows at once, by either method."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from compare.problems import Model
from compare.training.steps import LossAndGrad, TrainState, init_state, make_step

__all__ = ["METHODS", "Method", "descend", "layers"]

Method = Callable[[Model], LossAndGrad]

METHODS: dict[str, Method] = {
    "manual": lambda model: model.manual,
    "autodiff": lambda model: jax.value_and_grad(model.loss, has_aux=True),
}
"""The two methods: each takes a model and returns its gradient."""


@partial(jax.jit, static_argnames=("gradient", "steps", "watch"))
def descend(
    gradient: LossAndGrad,
    params: Any,
    batch: Any,
    rate: Any,
    steps: int,
    *,
    state: Any = (),
    watch: Callable[[TrainState], Any] = lambda state: (),
) -> tuple[Any, tuple[jax.Array, Any]]:
    """Runs full-batch gradient descent as one compiled program.

    Args:
        gradient: the gradient of a model without random masks.
        params: where it starts.
        batch: all rows.
        rate: the learning rate.
        steps: the number of steps.
        state: the model's state before the first step.
        watch: `watch(train_state)`, what to record after each step.

    Returns:
        The last parameters; the loss before each step, (steps,), and the record after it, stacked.
    """
    optimizer = optax.sgd(rate)
    step = make_step(gradient, optimizer)

    def body(current: TrainState, _: None) -> tuple[TrainState, Any]:
        new, loss = step(current, batch)
        return new, (loss, watch(new))

    # The model has no random masks, so any key will do.
    start = init_state(params, state, optimizer, jax.random.key(0))
    last, history = jax.lax.scan(body, start, length=steps)
    return last.params, history


def layers(*weights: np.ndarray) -> list[dict[str, jax.Array]]:
    """Builds float32 parameters with these weights, (n_in, n_out) each, and zero biases."""
    return [
        {"w": jnp.asarray(w, jnp.float32), "b": jnp.zeros(w.shape[1], jnp.float32)} for w in weights
    ]
