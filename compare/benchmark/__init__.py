"""Times hand-derived gradients against `jax.grad` and other engines, in turns."""

from compare.benchmark.timing import (
    Measurement,
    Prepared,
    Subject,
    changes,
    compiled,
    eager,
    interleaved,
    measure,
)
from compare.benchmark.workloads import subjects

__all__ = [
    "Measurement", "Prepared", "Subject", "changes", "compiled", "eager", "interleaved", "measure",
    "subjects",
]  # fmt: skip
