"""The leaves of a tree, or of inputs, that are differentiated, by path, and what else it holds."""

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten_with_path

from compare.trees import (
    contracted,
    expanded,
    in_double,
    is_array,
    is_inexact,
    nonfinite_faults,
    path_of,
)  # fmt: skip

__all__ = ["Inputs", "Parameters", "input_names", "most_inputs"]


class Parameters:
    """A pytree, split into what is differentiated and the rest.

    Real and complex floating arrays are differentiated, and so are Python's floats. Integers,
    booleans, random keys, strings and functions are left as they are. A dataclass that jax does not
    know as a pytree counts as one. What the containers are makes no difference: a leaf is known by
    its path.

    Args:
        tree: the parameters as they were given.

    Attributes:
        floating: the leaves that are differentiated, by path, in the order of the tree.
        not_compared: of every other leaf its path, and what it is.
    """

    def __init__(self, tree: Any):
        self._tree = tree
        leaves, self._structure = tree_flatten_with_path(expanded(tree))
        self._leaves = [(path_of(path, ""), leaf) for path, leaf in leaves]
        self.floating: OrderedDict[str, Any] = OrderedDict(
            (path, _array(leaf)) for path, leaf in self._leaves if _is_differentiated(leaf)
        )
        self.not_compared = {
            path: _kind(leaf) for path, leaf in self._leaves if not _is_differentiated(leaf)
        }

    def rebuild(self, floating: Any) -> Any:
        """Returns the tree with these arrays, by path, in place of its own."""
        leaves = [floating.get(path, leaf) for path, leaf in self._leaves]
        return contracted(jax.tree.unflatten(self._structure, leaves), self._tree)

    def other_containers(self, gradient: Any) -> str:
        """Tells where a gradient has the same leaves in other containers; "" where it has not."""
        given = {path_of(path, "") for path, _ in tree_flatten_with_path(expanded(gradient))[0]}
        if given != set(self.floating) or self.not_compared:
            return ""
        if self._structure == jax.tree.structure(gradient):
            return ""
        return "the containers of the gradient are of another kind than those of the parameters"

    def require_floating(self, kind: str = "parameter") -> None:
        """Refuses a tree of which nothing is differentiated.

        Raises:
            ValueError: there is no floating leaf.
        """
        if self.floating:
            return
        if self._tree is None:
            raise ValueError(
                f"the {kind}s are None: give the arrays by which jax.grad is to differentiate"
            )
        if not self._leaves:
            raise ValueError(f"{kind}s: there are no leaves, and so there is no gradient")
        held = ", ".join(f"{path} is {kind}" for path, kind in self.not_compared.items())
        raise ValueError(
            f"no {kind} is a floating array or a Python float, so there is no gradient: {held}"
        )

    def require_finite(self, kind: str = "parameter", *, infinite: bool = False) -> None:
        """Refuses a point at which no gradient can be finite.

        Args:
            kind: what the message calls a leaf.
            infinite: whether infinite entries are allowed, as in a mask that is added.

        Raises:
            ValueError: an entry is NaN or infinite: in which leaf, and where.
        """
        for path, leaf in self.floating.items():
            leaf = np.asarray(leaf)
            if infinite:
                leaf = np.where(np.isinf(in_double(leaf)), 0.0, in_double(leaf))
            for fault in nonfinite_faults(f"the {kind}", path, leaf):
                raise ValueError(f"{fault}; give a point at which every {kind} is finite")


class Inputs:
    """The inputs of a function, by the names in its signature.

    Args:
        fn: whose signature it is.
        inputs: as they were given.
        fixed: the names of those that are not differentiated.
        constant: those of them that a person declared so.

    Attributes:
        parameters: those that are differentiated, and what else is in their trees.
        fixed: the others, by name.
        not_compared: of every leaf that is not compared its path, and why.

    Raises:
        ValueError: nothing is differentiated, or a name is no input.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        inputs: Sequence[Any],
        fixed: Collection[str] = (),
        constant: Sequence[str] = (),
    ):
        self._names = input_names(fn, len(inputs))
        if isinstance(constant, str):
            raise ValueError(f"constant is a sequence of names; write constant=({constant!r},)")
        for name in constant:
            if name not in self._names:
                raise ValueError(
                    f"constant names {name!r}, which is no input; choose from "
                    f"{', '.join(self._names)}"
                )
        named = OrderedDict(zip(self._names, inputs, strict=True))
        self.fixed = {name: x for name, x in named.items() if name in fixed}
        self.parameters = Parameters(
            OrderedDict((n, x) for n, x in named.items() if n not in fixed)
        )
        if constant and not self.parameters.floating:
            raise ValueError(f"constant names every floating input: {', '.join(constant)}")
        self.parameters.require_floating("input")
        declared = {
            path: "declared constant"
            for name in constant
            for path in Parameters({name: self.fixed[name]}).floating
        }
        self.not_compared = {**self.parameters.not_compared, **declared}

    @property
    def names(self) -> list[str]:
        """The names of the inputs, in order."""
        return self._names

    def rebuild(self, floating: Any, fixed: Any) -> list[Any]:
        """Returns the inputs in order, with these arrays in place of the differentiated ones."""
        named = {**self.parameters.rebuild(floating), **fixed}
        return [named[name] for name in self._names]


def input_names(fn: Callable[..., Any], count: int) -> list[str]:
    """Returns the names of a function's positional parameters; those of *inputs are numbered."""
    names = [p.name for p in _parameters(fn) or () if p.kind in _POSITIONAL][:count]
    return [*names, *(f"input {i}" for i in range(len(names), count))]


def most_inputs(fn: Callable[..., Any]) -> float:
    """Returns how many positional inputs a function can be given; infinite where any number."""
    parameters = _parameters(fn)
    if parameters is None or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return math.inf
    return sum(p.kind in _POSITIONAL for p in parameters)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(fn: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """A function's parameters; None where it has no signature, as some that are written in C."""
    try:
        return [*inspect.signature(fn).parameters.values()]
    except (TypeError, ValueError):
        return None


def _is_differentiated(leaf: Any) -> bool:
    return is_inexact(leaf) or isinstance(leaf, float | complex)


def _array(leaf: Any) -> Any:
    return leaf if is_array(leaf) else np.asarray(leaf, jnp.asarray(leaf).dtype)


def _kind(leaf: Any) -> str:
    return str(leaf.dtype) if is_array(leaf) else type(leaf).__name__
