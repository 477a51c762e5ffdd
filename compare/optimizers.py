"""The names of `compare.training.optimizers`, for programs that import them from this module."""

from compare.training.optimizers import Optimizer, OptimizerName, ScheduleName, optimizer

__all__ = ["Optimizer", "OptimizerName", "ScheduleName", "optimizer"]
