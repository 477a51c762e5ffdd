"""A whole training: epoch after epoch, with a look at it after every few of them.

A look is one row of the history, a chance to save the state, and the question whether all numbers
are finite. Between two looks nothing waits for the device.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from compare.training.metrics import labels
from compare.training.nonfinite import NonFinite, all_finite
from compare.training.steps import TrainState

__all__ = ["DivergenceError", "Look", "Row", "Trainer", "steps_per_epoch", "train_epochs"]

Data = tuple[Any, Any]


class Trainer(NamedTuple):
    """What one or both sides train with.

    Attributes:
        epoch: `epoch(state, x, y) -> (state, losses, gaps)`; losses by method, (steps,) each; gaps
            between two sides, or ().
        sides: `sides(state)`: the state of each method.
        evaluate: `evaluate(params, model_state, x, y) -> (loss, accuracy)`.
        replays: of each method, as `nonfinite.make_replay` makes them.
        learning_rate: `learning_rate(opt_state, step)`.
    """

    epoch: Callable[[Any, Any, Any], tuple[Any, Any, Any]]
    sides: Callable[[Any], Mapping[str, TrainState]]
    evaluate: Callable[..., tuple[jax.Array, jax.Array]]
    replays: Mapping[str, Callable[..., tuple[TrainState, NonFinite | None]]]
    learning_rate: Callable[[Any, Any], Any]


class Row(NamedTuple):
    """One look at one side.

    Attributes:
        method: `manual` or `autodiff`.
        epoch: how many are done.
        step: how many are done.
        train_loss: over all of the training data, in inference.
        train_accuracy: the same.
        test_loss: over all of the test data.
        test_accuracy: the same.
        learning_rate: of the next step.
        seconds: of training since the start, without compiling and looking.
        samples_per_second: since the last look; both sides together where both train.
    """

    method: str
    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    learning_rate: float
    seconds: float
    samples_per_second: float


class Look(NamedTuple):
    """What there is after a few more epochs.

    Attributes:
        state: to go on from.
        rows: one a method; they also stand at the end of the history.
        gaps: of the epochs since the last look, one an epoch, on the host.
    """

    state: Any
    rows: tuple[Row, ...]
    gaps: tuple[Any, ...]


class DivergenceError(Exception):
    """A number is not finite; the message is one line.

    Attributes:
        method: whose.
        fault: the step, the leaf and the learning rate.
        last_good: the state before that step.
    """

    def __init__(self, method: str, fault: NonFinite, last_good: TrainState):
        self.method, self.fault, self.last_good = method, fault, last_good
        super().__init__(
            f"{method} went non-finite at step {fault.step}, learning rate "
            f"{fault.learning_rate:g}: {fault.faults[0]}"
        )


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """How many steps an epoch has, the smaller last one included."""
    return math.ceil(rows / batch_size)


def train_epochs(
    trainer: Trainer,
    state: Any,
    train_data: Data,
    test_data: Data,
    *,
    epochs: int,
    batch_size: int,
    every: int = 1,
    history: Sequence[Row] = (),
) -> Iterator[Look]:
    """Trains up to so many epochs in all, and yields a look after every few of them.

    A state that is not at its first step goes on where it is.

    Args:
        trainer: the functions, `epoch` compiled.
        state: the first, or one to go on from.
        train_data: x and targets, on the device.
        test_data: the same.
        epochs: how many in all.
        batch_size: rows of a step.
        every: how many epochs between two looks.
        history: the rows up to this state.

    Raises:
        DivergenceError: a loss, a gradient or the state is not finite any more.
    """
    rows = len(train_data[0])
    steps = steps_per_epoch(rows, batch_size)
    first = next(iter(trainer.sides(state).values()))
    done = int(first.step) // steps
    seconds = history[-1].seconds if history else 0.0
    while done < epochs:
        count = min(every - done % every, epochs - done)
        began, start = state, time.perf_counter()
        losses, gaps = [], []
        for _ in range(count):
            state, epoch_losses, epoch_gaps = trainer.epoch(state, *train_data)
            losses.append(epoch_losses)
            gaps.append(epoch_gaps)
        jax.block_until_ready(state)
        took = time.perf_counter() - start
        seconds, done = seconds + took, done + count
        if not all_finite((losses, dict(trainer.sides(state)))):
            raise _diverged(trainer, began, train_data, count)
        speed = rows * count / took
        looked_at = tuple(
            Row(
                method,
                done,
                int(side.step),
                *_scores(trainer, side, train_data),
                *_scores(trainer, side, test_data),
                float(trainer.learning_rate(side.opt_state, side.step)),
                seconds,
                speed,
            )
            for method, side in trainer.sides(state).items()
        )
        yield Look(state, looked_at, tuple(jax.tree.map(np.asarray, gaps)))


def _scores(trainer: Trainer, side: TrainState, data: Data) -> tuple[float, float]:
    """Loss and accuracy on a data set."""
    loss, accuracy = trainer.evaluate(side.params, side.model_state, *data)
    # A whole number are right: 9,800 of 10,000 are not 0.97999996.
    count = jax.eval_shape(labels, data[1]).size
    return float(loss), round(float(accuracy) * count) / count


def _diverged(trainer: Trainer, began: Any, data: Data, count: int) -> DivergenceError:
    """Takes the last epochs again, step by step, up to the first that is not finite."""
    sides = trainer.sides(began)
    for method, side in sides.items():
        for _ in range(count):
            side, fault = trainer.replays[method](side, *data)
            if fault is not None:
                return DivergenceError(method, fault, side)
    # Step by step XLA may round in other places, and stay finite by a hair.
    method, side = next(iter(sides.items()))
    rate = float(trainer.learning_rate(side.opt_state, side.step))
    note = "loss: is not finite in the compiled epoch, and is when its steps are taken one by one"
    return DivergenceError(method, NonFinite(int(side.step) + 1, "loss", (note,), rate), side)
