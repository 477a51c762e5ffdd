"""Runs a training from its start, or from its last checkpoint, to its end."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare.experiments import params_file, resume
from compare.experiments.checkpoints import Checkpoint, Checkpoints
from compare.experiments.experiment import Experiment
from compare.training import devices, loop
from compare.training.steps import TrainState
from compare.training.trainer import compiled as compiled_trainer
from compare.training.trainer import timed_apart
from compare.training.trajectories import Gaps, joined

__all__ = ["Run", "compiled", "epochs_done", "every", "save_params", "start", "train_on"]

LOOKS = 100
"""The most looks at a training; each is a row of the history and a checkpoint."""


class Run(NamedTuple):
    """A training, done or under way.

    Attributes:
        state: the last state.
        history: the rows of every look so far, at one or both sides.
        gaps: the gaps between both sides, epoch by epoch; empty where one side trains.
    """

    state: Any
    history: list[loop.Row]
    gaps: list[Gaps]


def compiled(experiment: Experiment) -> tuple[Experiment, float]:
    """Compiles the epoch of a training, and times each side alone where both train in step.

    Returns:
        The training with its epoch compiled, and the seconds that compiling it took.
    """
    began = time.perf_counter()
    trainer = compiled_trainer(experiment.trainer, experiment.state, *experiment.train_data)
    seconds = time.perf_counter() - began
    trainer = timed_apart(trainer, experiment.state, *experiment.train_data)
    return experiment._replace(trainer=trainer), seconds


def epochs_done(experiment: Experiment, run: Run) -> int:
    """Counts the epochs of a run so far."""
    first = next(iter(experiment.trainer.sides(run.state).values()))
    rows = len(experiment.train_data[0])
    return int(first.step) // loop.steps_per_epoch(rows, experiment.recipe.batch)


def every(epochs: int) -> int:
    """Tells how many epochs there are between two looks."""
    return max(1, epochs // LOOKS)


def start(experiment: Experiment, checkpoints: Checkpoints | None, *, resumed: bool) -> Run:
    """Starts a run, from its last checkpoint if it is resumed and has one.

    Args:
        experiment: what is trained.
        checkpoints: of this run; None if none are kept, and in all processes but the first.
        resumed: whether to look for a checkpoint.

    Raises:
        CheckpointError: the last checkpoint is damaged or of another run.
    """
    checkpoint = resume.latest(checkpoints, experiment.state) if resumed else None
    if checkpoint is None:
        return Run(experiment.state, [], [])
    gaps = [Gaps(**checkpoint.arrays)] if checkpoint.arrays else []
    state = devices.replicate(checkpoint.state, experiment.mesh)
    return Run(state, [loop.Row(**row) for row in checkpoint.log], gaps)


def train_on(
    experiment: Experiment,
    run: Run,
    checkpoints: Checkpoints | None = None,
    *,
    interrupted: Callable[[], bool] = lambda: False,
    told: Callable[[tuple[loop.Row, ...]], None] = lambda rows: None,
) -> Run:
    """Trains to the end, or to the end of the epoch in which it is interrupted.

    Args:
        experiment: what is trained, compiled.
        run: the run so far.
        checkpoints: where a checkpoint is written at each look; None to write none.
        interrupted: tells whether to stop.
        told: is called with the rows of each look, one for each side, to show them.

    Raises:
        DivergenceError: a number is not finite any more.
        CheckpointError: a checkpoint cannot be written.
    """
    recipe, state = experiment.recipe, run.state
    history, gaps = list(run.history), list(run.gaps)
    for look in loop.train_epochs(
        experiment.trainer,
        run.state,
        experiment.train_data,
        experiment.test_data,
        epochs=recipe.epochs,
        batch_size=recipe.batch,
        every=every(recipe.epochs),
        history=history,
        interrupted=interrupted,
    ):
        state = look.state
        history += look.rows
        gaps += [each for each in look.gaps if each]
        if look.rows:
            told(look.rows)
        if checkpoints is not None:
            first = next(iter(experiment.trainer.sides(state).values()))
            checkpoints.save(int(first.step), _checkpoint(state, history, gaps))
        if interrupted():
            break
    return Run(state, history, gaps)


def save_params(folder: Path, method: str, side: TrainState) -> Path:
    """Writes the parameters of one side to `params-METHOD.npz` in a folder, and makes the folder.

    Returns:
        The path of the file.

    Raises:
        OSError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"params-{method}.npz"
    params_file.save(path, side.params, side.model_state)
    return path


def _checkpoint(state: Any, history: list[loop.Row], gaps: list[Gaps]) -> Checkpoint:
    arrays: dict[str, np.ndarray] = joined(gaps)._asdict() if gaps else {}
    return Checkpoint(state, [row._asdict() for row in history], arrays)
