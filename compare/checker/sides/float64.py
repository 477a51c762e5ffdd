"""The reference's surroundings: float64 on the CPU, and the precision of matrix products."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from compare.trees import is_inexact

__all__ = [
    "cpu_with", "float64_on_cpu", "is_float32_on_cpu", "is_float64_on_cpu", "matmul_precision",
    "on_cpu", "x64",
]  # fmt: skip


@contextlib.contextmanager
def matmul_precision() -> Iterator[str]:
    """Sets the precision that the caller has set, or "highest" where none is; yields its name."""
    # JAX makes its options attributes at run time, where a type checker cannot see them.
    chosen = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    precision = chosen or "highest"
    with jax.default_matmul_precision(precision):
        yield precision


@contextlib.contextmanager
def cpu_with(*, float64: bool) -> Iterator[None]:
    """Makes the CPU the default device, and float64 possible or not."""
    with jax.enable_x64(float64), on_cpu():
        yield


def float64_on_cpu() -> Any:
    """Makes float64 possible, and the CPU the default device."""
    return cpu_with(float64=True)


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
    return _all_on_cpu(arrays, np.float64)


def is_float32_on_cpu(arrays: list[Any]) -> bool:
    """Tells whether a run at these arrays is one in float32 on the CPU."""
    return _all_on_cpu(arrays, np.float32)


def _all_on_cpu(arrays: list[Any], dtype: Any) -> bool:
    floating = [x for x in arrays if is_inexact(x)]
    # A complex number is as wide as each of its two parts.
    return jax.default_backend() == "cpu" and all(x.real.dtype == dtype for x in floating)
