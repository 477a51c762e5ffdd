"""Trains epoch after epoch, and takes a look at the training after every few epochs.

A look adds a row to the history, checks that all numbers are finite, and hands the state to the
caller, who may save it. Between two looks the host does not wait for the device.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
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
        epoch: `epoch(state, x, y) -> (state, losses, gaps)`: the losses by method, (steps,) each,
            and the `Gaps` between the two sides, or () where one side trains.
        alone: the epoch of each side alone, where both train in step; {} where one trains.
        sides: `sides(state) -> {method: state of that side}`.
        evaluate: `evaluate(params, model_state, x, y) -> (loss, accuracy)`.
        replays: the replay of each method, see `nonfinite.make_replay`.
        learning_rate: `learning_rate(opt_state, step) -> rate` of the step that starts there.
        alone_seconds: what an epoch of each side alone takes, once that is measured.
    """

    epoch: Callable[[Any, Any, Any], tuple[Any, Any, Any]]
    alone: Mapping[str, Callable[[TrainState, Any, Any], Any]]
    sides: Callable[[Any], Mapping[str, TrainState]]
    evaluate: Callable[..., tuple[jax.Array, jax.Array]]
    replays: Mapping[str, Callable[..., tuple[TrainState, NonFinite | None]]]
    learning_rate: Callable[[Any, Any], Any]
    alone_seconds: Mapping[str, float] = MappingProxyType({})


class Row(NamedTuple):
    """One look at one side.

    Attributes:
        method: `manual` or `autodiff`.
        epoch: the number of epochs done.
        step: the number of steps done.
        train_loss: the mean over all of the training data, in inference.
        train_accuracy: the share of the training data that is classified right.
        test_loss: the mean over all of the test data.
        test_accuracy: the share of the test data that is classified right.
        learning_rate: of the next step.
        seconds: spent on training since the start, compiling and looks left out. If both sides
            train, in one program, these are the side's own: the number of its epochs times what one
            takes alone, which is measured before the first.
        samples_per_second: since the last look, in the same seconds.
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


_AHEAD = 16
"""Epochs that are started before an earlier one is done; after an interruption all are awaited."""


class Look(NamedTuple):
    """The training after a few more epochs.

    Attributes:
        state: the state to go on from.
        rows: the new rows of the history, one for each method; () after an interruption.
        gaps: the gaps of each epoch since the last look, on the host; () where one side trains.
    """

    state: Any
    rows: tuple[Row, ...]
    gaps: tuple[Any, ...]


class DivergenceError(Exception):
    """A number is not finite; the message is one line.

    Attributes:
        method: the side that has the number: `manual` or `autodiff`.
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
    """Counts the steps of an epoch, the last and smaller batch included."""
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
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Look]:
    """Trains until `epochs` epochs are done, and takes a look after every few of them.

    After an interruption it ends with the epoch that is being computed, and with a look that has no
    rows unless that is an epoch with a look: what is resumed has the same history.

    Args:
        trainer: the functions, `epoch` compiled.
        state: where to start; the epochs that its step counter shows are not repeated.
        train_data: x and targets, on the device.
        test_data: x and targets, on the device.
        epochs: the number of epochs in all, those before `state` included.
        batch_size: rows of a step.
        every: the number of epochs between two looks.
        history: the rows of the looks before `state`.
        interrupted: tells whether to stop.

    Yields:
        The looks.

    Raises:
        DivergenceError: a loss, a gradient or the state is not finite any more.
    """
    rows = len(train_data[0])
    first = next(iter(trainer.sides(state).values()))
    done = int(first.step) // steps_per_epoch(rows, batch_size)
    seconds = {row.method: row.seconds for row in history}
    while done < epochs:
        count = min(every - done % every, epochs - done)
        began = state
        state, losses, gaps, took = _timed_epochs(trainer, state, train_data, count, interrupted)
        if not losses:
            return
        done += len(losses)
        if not all_finite((losses, dict(trainer.sides(state)))):
            raise _diverged(trainer, began, train_data, count)
        if len(losses) < count:
            yield Look(state, (), tuple(jax.tree.map(np.asarray, gaps)))
            return
        new_rows = []
        for method, side in trainer.sides(state).items():
            alone = trainer.alone_seconds.get(method)
            own = took if alone is None else count * alone
            seconds[method] = seconds.get(method, 0.0) + own
            progress = {
                "epoch": done, "seconds": seconds[method], "samples_per_second": rows * count / own,
            }  # fmt: skip
            new_rows.append(_row(trainer, method, side, train_data, test_data, **progress))
        yield Look(state, tuple(new_rows), tuple(jax.tree.map(np.asarray, gaps)))


def _timed_epochs(
    trainer: Trainer, state: Any, data: Data, count: int, interrupted: Callable[[], bool]
) -> tuple[Any, list[Any], list[Any], float]:
    """Trains `count` epochs, or fewer if it is interrupted.

    Returns:
        The state, losses and gaps by epoch, and the seconds.
    """
    start = time.perf_counter()
    losses, gaps = [], []
    for _ in range(count):
        if interrupted():
            break
        state, epoch_losses, epoch_gaps = trainer.epoch(state, *data)
        losses.append(epoch_losses)
        gaps.append(epoch_gaps)
        if len(losses) > _AHEAD:
            jax.block_until_ready(losses[-_AHEAD])
    jax.block_until_ready(state)
    return state, losses, gaps, time.perf_counter() - start


def _row(
    trainer: Trainer,
    method: str,
    side: TrainState,
    train_data: Data,
    test_data: Data,
    **progress: Any,
) -> Row:
    train_loss, train_accuracy = _loss_and_accuracy(trainer, side, train_data)
    test_loss, test_accuracy = _loss_and_accuracy(trainer, side, test_data)
    return Row(
        method=method,
        step=int(side.step),
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        learning_rate=float(trainer.learning_rate(side.opt_state, side.step)),
        **progress,
    )


def _loss_and_accuracy(trainer: Trainer, side: TrainState, data: Data) -> tuple[float, float]:
    loss, accuracy = trainer.evaluate(side.params, side.model_state, *data)
    # The accuracy is a count over a count: 9,800 of 10,000 is 0.98, and float32 has 0.97999996.
    count = jax.eval_shape(labels, data[1]).size
    return float(loss), round(float(accuracy) * count) / count


def _diverged(trainer: Trainer, began: Any, data: Data, count: int) -> DivergenceError:
    """Repeats the last `count` epochs step by step, up to the first step that is not finite."""
    sides = trainer.sides(began)
    for method, side in sides.items():
        for _ in range(count):
            side, fault = trainer.replays[method](side, *data)
            if fault is not None:
                return DivergenceError(method, fault, side)
    # Compiled step by step, XLA may round in other places, and every number may stay finite.
    method, side = next(iter(sides.items()))
    rate = float(trainer.learning_rate(side.opt_state, side.step))
    note = "loss: is not finite in the compiled epoch, and is when its steps are taken one by one"
    return DivergenceError(method, NonFinite(int(side.step) + 1, "loss", (note,), rate), side)
