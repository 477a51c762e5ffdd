"""Hand-derived rules: each a pair NAME_fwd, NAME_bwd, and NAME, the two tied together."""

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Pair"]


class Pair(NamedTuple):
    """The two halves of a rule, with the signatures of `jax.custom_vjp`.

    Attributes:
        fwd: `fwd(*inputs) -> (out, residuals)`.
        bwd: `bwd(residuals, d_out) -> one cotangent per input`.
    """

    fwd: Callable[..., Any]
    bwd: Callable[..., Any]
