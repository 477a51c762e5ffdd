"""Derivations, as the docstrings of hand-derived functions have them."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

__all__ = ["Derivation", "each_once", "of_model", "of_rule"]


class Derivation(NamedTuple):
    """The mathematics of one rule or model.

    Attributes:
        rule: its name.
        about: the docstring of the rule's module, with its legend; "" of a model.
        fwd: the docstring of the forward pass; of a model that of its module.
        bwd: the docstring of the backward pass; of a model that of `loss_and_grad`.
    """

    rule: str
    about: str
    fwd: str
    bwd: str


def of_rule(name: str, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> Derivation:
    """The docstrings of a pair, which may have settings bound."""
    fwd, bwd = _unbound(fwd), _unbound(bwd)
    return Derivation(name, *map(_docstring, (inspect.getmodule(fwd), fwd, bwd)))


def of_model(module: Any) -> Derivation:
    """The docstrings of a model's module and of its `loss_and_grad`."""
    return Derivation(module.__name__, "", _docstring(module), _docstring(module.loss_and_grad))


def each_once(derivations: Iterable[Derivation]) -> list[dict[str, str]]:
    """As JSON has them, in their order, none of them twice."""
    return [own._asdict() for own in dict.fromkeys(derivations)]


def _docstring(documented: Any) -> str:
    return inspect.getdoc(documented) or ""


def _unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, partial):
        function = function.func
    return function
