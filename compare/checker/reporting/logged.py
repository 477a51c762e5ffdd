"""A note of every check, for whoever listens to the logger `handgrad.checks`."""

import dataclasses
import functools
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

from compare.checker.gradient_report import GradientReport
from compare.sites import is_refusal

__all__ = ["Check", "logged"]

_LOGGER = logging.getLogger("handgrad.checks")
_REFUSED = logging.getLogger("handgrad.refusals")

P = ParamSpec("P")


class Check(NamedTuple):
    """One check: the `check` of the log's record.

    Attributes:
        report: what was found.
        seed: of its random numbers.
        seconds: how long it took.
    """

    report: GradientReport
    seed: int
    seconds: float


def logged(check: Callable[P, GradientReport]) -> Callable[P, GradientReport]:
    """Names what a check is of, and logs it at the level DEBUG when it is done.

    The record's message is the headline and the seconds, and its attribute `check` a `Check`.
    What the checker refuses is logged to `handgrad.refusals`, with the traceback that the exception
    does not have any more.
    """
    signature = inspect.signature(check)

    @functools.wraps(check)
    def run(*args: P.args, **settings: P.kwargs) -> GradientReport:
        __tracebackhide__ = True  # For pytest: a wrong argument is the caller's.
        started = time.perf_counter()
        try:
            report = check(*args, **settings)
        except (TypeError, ValueError) as error:
            if not is_refusal(error):
                raise
            # What is refused is said in its words; how the checker came to it is for its authors.
            _REFUSED.debug("%s", error, exc_info=True)
            raise error.with_traceback(None) from None
        given = signature.bind(*args, **settings)
        given.apply_defaults()
        functions = list(given.arguments.values())[:2]
        report = dataclasses.replace(report, **_named(*functions))
        found = Check(report, given.arguments["seed"], time.perf_counter() - started)
        what = f"{report.name}: {report.headline}"
        _LOGGER.debug("%s, in %.2f s", what, found.seconds, extra={"check": found})
        return report

    return run


def _named(first: Any, second: Any) -> dict[str, Any]:
    """Returns the name of what was checked, and its derivation where there are docstrings.

    Args:
        first: a candidate, a function, a rule, or the forward half of one.
        second: a loss; or a tuple whose first entry may be the backward half.
    """
    backward = second[0] if isinstance(second, tuple) and second else None
    fwd, bwd = getattr(first, "fwd", None), getattr(first, "bwd", None)
    if isinstance(second, tuple) and callable(backward) and not (fwd or bwd):
        fwd, bwd = first, backward
    elif callable(second):
        fwd, bwd = second, first
    name = _name(first)
    if fwd is first:
        name = name.removesuffix("_fwd")
    derivation = {"rule": name, "about": "", "fwd": _doc(fwd or first), "bwd": _doc(bwd)}
    if not (derivation["fwd"] or derivation["bwd"]):
        return {"name": name}
    return {"name": name, "derivations": (derivation,)}


def _name(fn: Any) -> str:
    fn = fn.func if isinstance(fn, functools.partial) else fn
    return str(getattr(fn, "__name__", type(fn).__name__)).strip("<>")


def _doc(fn: Any) -> str:
    own = isinstance(fn, functools.partial) or not callable(fn)
    return "" if fn is None or own else inspect.getdoc(fn) or ""
