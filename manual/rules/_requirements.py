"""What several rules require of their inputs and settings, and how they refuse all else."""

from typing import Any

import chex
import jax
import numpy as np
from jax.core import Tracer

__all__ = ["require_alike", "require_epsilon", "require_last_axis"]


def require_alike(outputs: jax.Array, targets: jax.Array) -> None:
    """Refuses what would broadcast, (n, 1) against (n,), and what would promote.

    Raises:
        AssertionError: if shapes or dtypes differ.
    """
    chex.assert_equal_shape([outputs, targets])
    chex.assert_type(targets, outputs.dtype)


def require_last_axis(rule: str, name: str, x: jax.Array) -> None:
    """Refuses a scalar where a rule goes along the last axis.

    Raises:
        ValueError: if the input of that name has no axis.
    """
    if not x.ndim:
        raise ValueError(f"{rule} goes along the last axis of {name}, (..., c); got a scalar")


def require_epsilon(rule: str, epsilon: Any) -> None:
    """Refuses what makes the square root that of a negative number; what is traced is not known.

    Raises:
        ValueError: if epsilon is negative, or no number.
    """
    if not isinstance(epsilon, Tracer) and not np.asarray(epsilon) >= 0:
        raise ValueError(f"{rule}'s epsilon must not be negative, got {epsilon}")
