"""Collects derivations from the docstrings of hand-derived functions."""

import inspect
from collections.abc import Iterable
from typing import Any, NamedTuple

from manual.rules import Rule

__all__ = ["Derivation", "each_once", "of_model", "of_rule"]


class Derivation(NamedTuple):
    """The mathematics of one rule or model.

    Attributes:
        rule: its name.
        about: for a rule, the docstring of its module, with the legend; for a model, "".
        fwd: for a rule, the docstring of its forward pass; for a model, that of its module.
        bwd: for a rule, the docstring of its backward pass; for a model, that of `loss_and_grad`.
    """

    rule: str
    about: str
    fwd: str
    bwd: str


def of_rule(rule: Rule[..., Any]) -> Derivation:
    """Collects the docstrings of a rule: its module's, and those of its two halves."""
    return Derivation(
        rule=rule.__name__,
        about=_docstring(inspect.getmodule(rule.fwd)),
        fwd=_docstring(rule.fwd),
        bwd=_docstring(rule.bwd),
    )


def of_model(module: Any) -> Derivation:
    """Collects the docstrings of a model's module and of its `loss_and_grad`."""
    return Derivation(
        rule=module.__name__,
        about="",
        fwd=_docstring(module),
        bwd=_docstring(module.loss_and_grad),
    )


def each_once(derivations: Iterable[Derivation]) -> list[dict[str, str]]:
    """Turns derivations into dictionaries for JSON, in the order given, each of them once."""
    return [derivation._asdict() for derivation in dict.fromkeys(derivations)]


def _docstring(documented: Any) -> str:
    return inspect.getdoc(documented) or ""
