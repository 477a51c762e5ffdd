"""Trains under `jit` with any gradient and any optax optimizer."""

from compare.training.devices import make_mesh
from compare.training.loop import steps_per_epoch
from compare.training.metrics import ClassScores, class_scores, correct, labels, predicted_classes
from compare.training.optimizers import Optimizer, optimizer
from compare.training.steps import (
    Batch,
    LossAndGrad,
    TrainState,
    epoch_order,
    init_state,
    make_epoch,
    make_evaluate,
    make_step,
    scan_batches,
    step_key,
)

__all__ = [
    "Batch", "ClassScores", "LossAndGrad", "Optimizer", "TrainState", "class_scores", "correct",
    "epoch_order", "init_state", "labels", "make_epoch", "make_evaluate", "make_mesh", "make_step",
    "optimizer", "predicted_classes", "scan_batches", "step_key", "steps_per_epoch",
]  # fmt: skip
