"""The reference's surroundings: float64 on the CPU, and the precision of matrix products."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from compare.trees import is_float

__all__ = ["float64_on_cpu", "is_float64_on_cpu", "matmul_precision", "on_cpu", "x64"]


@contextlib.contextmanager
def matmul_precision() -> Iterator[str]:
    """Sets the precision that the caller has set, or "highest" where none is; yields its name."""
    # JAX makes its options attributes at run time, where a type checker cannot see them.
    chosen = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    precision = chosen or "highest"
    with jax.default_matmul_precision(precision):
        yield precision


@contextlib.contextmanager
def float64_on_cpu() -> Iterator[None]:
    """Makes float64 possible, and the CPU the default device."""
    with jax.enable_x64(True), on_cpu():
        yield


def on_cpu() -> Any:
    """Makes the CPU the default device; not where it is already, as that would recompile."""
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    return jax.default_device(jax.local_devices(backend="cpu")[0])


def x64(needed: bool) -> Any:
    """Makes float64 possible where it is needed, and changes nothing elsewhere."""
    return jax.enable_x64(True) if needed else contextlib.nullcontext()


def is_float64_on_cpu(arrays: list[Any]) -> bool:
    """Tells whether a run at these arrays is the reference itself."""
    on_cpu = jax.default_backend() == "cpu"
    return on_cpu and all(x.dtype == np.float64 for x in arrays if is_float(x))
