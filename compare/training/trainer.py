"""Puts together the functions that a training needs, for one gradient or for both in step."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from compare.training.loop import Trainer
from compare.training.nonfinite import make_replay
from compare.training.optimizers import Optimizer
from compare.training.steps import LossAndGrad, TrainState, init_state, make_epoch, make_evaluate
from compare.training.trajectories import Pair, init_pair, make_pair_epoch

__all__ = ["compiled", "first_state", "make_trainer", "timed_apart"]

_Epoch = Callable[[Any, Any, Any], tuple[Any, Any, Any]]
_Sides = Callable[[Any], Mapping[str, TrainState]]

EVALUATED_AT_ONCE = 1000
"""The number of rows of a data set that are evaluated together."""


def make_trainer(
    gradients: Mapping[str, LossAndGrad],
    predict: Callable[[Any, Any, Any], jax.Array],
    criterion: Callable[[jax.Array, Any], jax.Array],
    optimizer: Optimizer,
    batch_size: int,
    mesh: Mesh | None = None,
) -> Trainer:
    """Makes the functions of a training.

    Args:
        gradients: by method: `manual`, `autodiff`, or both, which are then trained in step.
        predict: `predict(params, model_state, x) -> logits`.
        criterion: `criterion(logits, targets) -> loss`.
        optimizer: with its learning rate.
        batch_size: rows of a step.
        mesh: devices that share each batch; None for one device.
    """
    transformation = optimizer.transformation
    settings = transformation, batch_size, mesh
    epoch, sides = (
        _one(gradients, *settings) if len(gradients) == 1 else _both(gradients, *settings)
    )
    each = gradients if len(gradients) > 1 else {}
    return Trainer(
        epoch=jax.jit(epoch),
        alone={method: make_epoch(gradient, *settings) for method, gradient in each.items()},
        sides=sides,
        evaluate=make_evaluate(predict, criterion, EVALUATED_AT_ONCE, mesh),
        replays={
            method: make_replay(gradient, transformation, optimizer.learning_rate, batch_size)
            for method, gradient in gradients.items()
        },
        learning_rate=optimizer.learning_rate,
    )


def _one(gradients: Mapping[str, LossAndGrad], *settings: Any) -> tuple[_Epoch, _Sides]:
    [(method, gradient)] = gradients.items()
    one = make_epoch(gradient, *settings)

    def epoch(state: TrainState, x: Any, y: Any) -> Any:
        state, losses = one(state, x, y)
        return state, {method: losses}, ()

    return epoch, lambda state: {method: state}


def _both(gradients: Mapping[str, LossAndGrad], *settings: Any) -> tuple[_Epoch, _Sides]:
    both = make_pair_epoch(gradients["manual"], gradients["autodiff"], *settings)

    def named(pair: Any) -> dict[str, Any]:
        return dict(zip(("manual", "autodiff"), pair, strict=True))

    def epoch(state: Pair, x: Any, y: Any) -> Any:
        state, losses, gaps = both(state, x, y)
        return state, named(losses), gaps

    return epoch, lambda state: named(state.sides)


def first_state(
    gradients: Mapping[str, LossAndGrad],
    params: Any,
    model_state: Any,
    optimizer: Optimizer,
    key: jax.Array,
    seed: int = 0,
) -> Any:
    """Returns the state from which the trainer of these gradients starts.

    Args:
        gradients: as for `make_trainer`.
        params: the parameters.
        model_state: running statistics, or ().
        optimizer: with its learning rate.
        key: the random key of the whole run.
        seed: of the perturbations by one unit in the last place, where both sides train.

    Returns:
        A `TrainState`, or a `Pair` where both sides train.
    """
    state = init_state(params, model_state, optimizer.transformation, key)
    return state if len(gradients) == 1 else init_pair(state, seed)


def compiled(trainer: Trainer, state: Any, *data: Any) -> Trainer:
    """Compiles the epoch of a trainer ahead of time, for this state and these x and targets."""
    epoch: Any = trainer.epoch
    return trainer._replace(epoch=epoch.lower(state, *data).compile())


def timed_apart(trainer: Trainer, state: Any, *data: Any) -> Trainer:
    """Measures what an epoch of each side takes alone, where both train in step.

    Both are one program then, in which `jax.grad` trains several times over. Short epochs are
    repeated; how often is a matter of their steps, the same in every process.

    Args:
        trainer: for one side or both; for one, nothing is measured.
        state: from which the trainer starts.
        *data: x and targets.
    """
    seconds = {}
    for method, epoch in trainer.alone.items():
        side = trainer.sides(state)[method]
        compiled_epoch = jax.jit(epoch).lower(side, *data).compile()
        steps = jax.eval_shape(epoch, side, *data)[1].size
        took = []
        for _ in range(max(1, _TIMED_STEPS // steps)):
            began = time.perf_counter()
            jax.block_until_ready(compiled_epoch(side, *data))
            took.append(time.perf_counter() - began)
        seconds[method] = statistics.median(took)
    return trainer._replace(alone_seconds=seconds)


_TIMED_STEPS = 100
