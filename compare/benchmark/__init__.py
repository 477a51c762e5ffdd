"""Times hand-derived gradients against `jax.grad` and other engines, in turns."""

from compare.benchmark.limits import measured_limits
from compare.benchmark.timing import (
    FEW_ROUNDS,
    ROUNDS,
    Measurement,
    Prepared,
    Subject,
    changes,
    compiled,
    eager,
    interleaved,
    measure,
)
from compare.benchmark.workloads import ELSEWHERE, ON_CPU, subjects

__all__ = [
    "ELSEWHERE", "FEW_ROUNDS", "ON_CPU", "ROUNDS", "Measurement", "Prepared", "Subject", "changes",
    "compiled", "eager", "interleaved", "measure", "measured_limits", "subjects",
]  # fmt: skip
