"""What a person gave to a check: functions that can be called so, an accuracy that is one."""

import difflib
import inspect
import numbers
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from compare.checker.comparison import Accuracy

__all__ = [
    "OPTIONS", "accepted", "require_accuracy", "require_bwd", "require_call", "require_known",
    "require_settings",
]  # fmt: skip

OPTIONS = (
    "has_aux", "dtype", "jit", "seed", "accuracy", "reference", "constant", "modes", "order",
)  # fmt: skip
"""What the checks take by keyword for themselves; any other keyword is the functions'."""


def require_call(name: str, fn: Any, *args: Any, **kwargs: Any) -> None:
    """Refuses what cannot be called with these arguments.

    Args:
        name: what the message calls it.
        fn: what should be a function.
        *args: its arguments.
        **kwargs: its keyword arguments.

    Raises:
        TypeError: it is no function, or its signature does not fit.
    """
    if not callable(fn):
        raise TypeError(f"{name} must be a function; got {_kind(fn)}")
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # Some functions written in C have none.
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        meant = "".join(_meant(keyword) for keyword in kwargs if repr(keyword) in str(error))
        raise TypeError(f"{name} cannot be called with these arguments: {error}{meant}") from None


def require_bwd(bwd: Any, kwargs: Mapping[str, Any]) -> None:
    """Refuses a backward half that cannot be called with residuals and a cotangent.

    Raises:
        TypeError: as `require_call`, and what to do where it takes more than these two.
    """
    try:
        require_call("bwd", bwd, "residuals", "d_out", **accepted(bwd, kwargs))
    except TypeError as error:
        if "missing a required argument" not in str(error):
            raise
        raise TypeError(
            f"{error}; a rule with nondiff_argnums is checked as it is decorated: "
            "check_rule(f, *inputs)"
        ) from None


def accepted(fn: Callable[..., Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those keyword arguments that a function takes."""
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return dict(kwargs)
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return dict(kwargs)
    return {name: value for name, value in kwargs.items() if name in parameters}


def require_known(kwargs: Collection[str], **functions: Callable[..., Any] | None) -> None:
    """Refuses keyword arguments that none of the functions takes.

    Raises:
        TypeError: there is one: its name, and whom it was offered.
    """
    given = [(name, fn) for name, fn in functions.items() if fn is not None]
    for keyword in kwargs:
        if not any(accepted(fn, {keyword: None}) for _, fn in given):
            names = " nor ".join(name for name, _ in given)
            what = f"neither {names} takes a keyword argument {keyword!r}"
            raise TypeError(f"{what}{_meant(keyword)}")


def _meant(keyword: str) -> str:
    """The option that a keyword was meant to be, to stand at the end; "" where none is near."""
    near = difflib.get_close_matches(keyword, OPTIONS, 1)
    return f"; did you mean {near[0]}=?" if near else ""


def require_settings(*, jit: Any, seed: Any) -> None:
    """Refuses settings that are of another kind.

    Raises:
        TypeError: jit is no truth value, or seed no whole number.
        ValueError: seed is negative.
    """
    if not isinstance(jit, bool | np.bool_):
        raise TypeError(f"jit is True or False; got {jit!r}")
    if not isinstance(seed, numbers.Integral):
        raise TypeError(f"seed is a whole number from 0; got {seed!r}")
    if int(seed) < 0:
        raise ValueError(f"seed is a whole number from 0; got {seed}")


def require_accuracy(accuracy: Any, paths: Collection[str]) -> Accuracy:
    """Returns the accuracy, which is a positive number, or one by path.

    Raises:
        ValueError: it is something else, or names a leaf that is not there.
    """
    if accuracy is None:
        return None
    shares = accuracy if isinstance(accuracy, Mapping) else {"accuracy": accuracy}
    for path, share in shares.items():
        if not (isinstance(share, numbers.Real) and 0 < float(share) < 1):
            raise ValueError(
                f"accuracy is a share of a leaf's largest entry, between 0 and 1; got {share!r}"
            )
        if isinstance(accuracy, Mapping) and path not in paths:
            raise ValueError(
                f"accuracy names {path!r}, which is no leaf; choose from {', '.join(paths)}"
            )
    return accuracy


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"an array of shape {shape}" if shape is not None else f"a {type(value).__name__}"
