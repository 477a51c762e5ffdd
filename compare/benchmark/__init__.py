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

__all__ = [
    "Measurement",
    "Prepared",
    "Subject",
    "changes",
    "compiled",
    "eager",
    "interleaved",
    "measure",
]
