"""The names of `compare.training.optimizers`, for programs that import them from here."""

from compare.training.optimizers import Optimizer, OptimizerName, ScheduleName, optimizer

__all__ = ["Optimizer", "OptimizerName", "ScheduleName", "optimizer"]
