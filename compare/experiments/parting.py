"""Tells whether two trajectories part by a defect, by comparing the gradients where they part.

A trajectory can leap: if the input of a ReLU is within rounding of 0, the unit may be on in one
trajectory and off in another, and the trainings go different ways. Which trajectory leaps first is
chance, and it may be manual's. The distance alone cannot tell such a leap from a mistake. So where
manual parts faster than `jax.grad` parts from itself, the training is repeated up to that step,
and both gradients are compared there.
"""

from typing import Any

import jax
import optax

from compare.checker.check import check_gradients
from compare.training.loop import steps_per_epoch
from compare.training.steps import (
    Batch,
    LossAndGrad,
    TrainState,
    epoch_order,
    make_epoch,
    make_step,
    step_key,
)

__all__ = ["is_defect", "state_before"]

_RIGHT = ("agree", "kink")


def is_defect(
    manual: LossAndGrad, loss: Any, state: TrainState, batch: Batch, other: Batch
) -> bool:
    """Tells whether the hand-derived gradient is wrong, or inaccurate, at one step.

    The mathematics is compared in float64 on the batch of the step. The arithmetic is compared on
    another batch: on the batch of the step a ReLU may switch within rounding, which is no defect.

    Args:
        manual: the hand-derived gradient.
        loss: `loss(params, model_state, batch, key) -> (loss, model_state)`.
        state: the state before the step.
        batch: the batch of the step.
        other: another batch.
    """
    key = step_key(state)

    def verdict(rows: Batch, dtype: str | None) -> str:
        point = state.params, state.model_state, rows, key
        return check_gradients(manual, loss, *point, has_aux=True, dtype=dtype).verdict

    return verdict(batch, "float64") not in _RIGHT or verdict(other, None) not in _RIGHT


def state_before(
    step: int,
    loss_and_grad: LossAndGrad,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    data: Batch,
    batch_size: int,
) -> tuple[TrainState, Batch, Batch]:
    """Trains up to a step.

    Args:
        step: the number of the step, from 1.
        loss_and_grad: the gradient to train with.
        optimizer: any of optax's.
        state: the first state.
        data: x and targets.
        batch_size: rows of a step.

    Returns:
        The state before the step, the batch of the step, and another batch of its epoch; where the
        epoch has only one batch, that batch twice.
    """
    x, y = data
    epochs, within = divmod(step - 1, steps_per_epoch(len(x), batch_size))
    epoch = make_epoch(loss_and_grad, optimizer, batch_size)
    for _ in range(epochs):
        state, _ = epoch(state, x, y)
    order = epoch_order(state, len(x))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    take = jax.jit(make_step(loss_and_grad, optimizer))
    for rows in batches[:within]:
        state, _ = take(state, (x[rows], y[rows]))
    own, other = batches[within], batches[within - 1]
    return state, (x[own], y[own]), (x[other], y[other])
