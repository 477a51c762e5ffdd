"""A rule is a pair; this is the one place where a pair meets `jax.grad`."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

__all__ = ["Pair", "tie"]


class Pair(NamedTuple):
    """The two halves of a rule, with the signatures of `jax.custom_vjp`.

    Attributes:
        fwd: `fwd(*inputs) -> (out, residuals)`.
        bwd: `bwd(residuals, d_out) -> one cotangent per input`.
    """

    fwd: Callable[..., Any]
    bwd: Callable[..., Any]


def tie(fwd: Callable[..., Any], bwd: Callable[..., Any]) -> Callable[..., Any]:
    """Ties the pair NAME_fwd, NAME_bwd into NAME, which `jax.grad` differentiates by `bwd`.

    The pair has the signatures of `jax.custom_vjp`: `fwd(*inputs) -> (out, residuals)` and
    `bwd(residuals, d_out) -> one cotangent per input`. Keyword-only parameters of `fwd` are static
    settings; `bwd` takes the same keywords.

    Raises:
        TypeError: as `fwd` itself would, when the inputs do not fit its signature.
    """
    signature = inspect.signature(fwd)

    @functools.wraps(fwd)
    def rule(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        settings = bound.kwargs
        tied = jax.custom_vjp(lambda *inputs: fwd(*inputs, **settings)[0])
        tied.defvjp(functools.partial(fwd, **settings), functools.partial(bwd, **settings))
        return tied(*bound.args)

    rule.__name__ = rule.__qualname__ = fwd.__name__.removesuffix("_fwd")
    rule.__doc__ = f"{inspect.getdoc(fwd)}\n\nBackward pass:\n{inspect.getdoc(bwd)}"
    return rule
