"""Trains under `jit` with any gradient and any optax optimizer."""

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
    "Batch",
    "LossAndGrad",
    "TrainState",
    "epoch_order",
    "init_state",
    "make_epoch",
    "make_evaluate",
    "make_step",
    "scan_batches",
    "step_key",
]
