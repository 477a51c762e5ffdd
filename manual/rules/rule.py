"""A rule: a forward and a backward pass that belong together.

No other module of this package uses `jax.custom_vjp`.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax import lax
from jax.core import Tracer

from manual.lookup import lookup

__all__ = ["Rule", "chosen"]


class Rule:
    """A function that `jax.grad` differentiates by a backward pass derived by hand.

    Its inputs are the positional parameters of the forward pass: arrays, of which the backward pass
    returns the cotangents. Its settings are the keyword-only parameters, such as a stride or a
    rate. Settings are static: Python values that no transformation traces. What is to be traced,
    by `jit` or by `jax.grad`, has to be an input.

    A rule goes wherever an ordinary function goes: into `jit`, `vmap`, `scan`, `checkpoint`, and
    into `shard_map`, where the cotangent of an input that devices share is summed over them. A
    second `jax.grad` differentiates the code of both halves. JAX refuses forward mode, such as
    `jax.jvp`.

    Attributes:
        fwd: the forward pass, `fwd(*inputs, **settings) -> (out, residuals)`.
        bwd: the backward pass, `bwd(residuals, d_out, **settings)`, which returns a tuple of one
            cotangent per input, None for integers and keys. It gets only the settings that it has
            parameters for.
        __name__: the name of `fwd` without "_fwd".
        __doc__: the derivation: the docstring of `fwd`, then that of `bwd`.
        __signature__: the signature of `fwd`, but with `out` alone as its result.
    """

    def __init__(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Ties the two halves together with `jax.custom_vjp`."""
        self.fwd, self.bwd = fwd, bwd
        functools.update_wrapper(self, fwd, assigned=("__module__",))
        self.__name__ = self.__qualname__ = fwd.__name__.removesuffix("_fwd")
        self.__doc__ = f"{inspect.getdoc(fwd)}\n\nBackward pass:\n{inspect.getdoc(bwd)}"
        self.__signature__ = _signature_of_out(fwd)
        own = _settings(bwd)

        def forward(settings: dict[str, Any], *inputs: Any) -> tuple[Any, Any]:
            return fwd(*inputs, **settings)

        def backward(settings: dict[str, Any], residuals: Any, d_out: Any) -> Any:
            return bwd(residuals, d_out, **{name: settings[name] for name in own & set(settings)})

        self._tied = jax.custom_vjp(lambda *args: forward(*args)[0], nondiff_argnums=(0,))
        self._tied.defvjp(forward, backward)

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        """Computes the forward pass, and returns `out` without the residuals.

        Raises:
            TypeError: if the arguments do not fit the signature of `fwd`, or a setting is traced.
        """
        bound = self.__signature__.bind(*inputs, **settings)
        bound.apply_defaults()
        _refuse_traced(self.__name__, bound.kwargs)
        return self._tied(bound.kwargs, *_vary_alike(bound.args))

    def bind(self, **settings: Any) -> "Rule":
        """Returns this rule with these values as the defaults of its settings.

        `group_norm.bind(groups=4)` takes x, scale and bias alone; its halves have the same default.
        A call may still give a bound setting another value.

        Raises:
            TypeError: if there is no such setting.
        """
        unknown = settings.keys() - _settings(self.fwd)
        if unknown:
            raise TypeError(f"{self.__name__} has no setting {min(unknown)!r}")
        own = {name: settings[name] for name in _settings(self.bwd) & settings.keys()}
        return Rule(_bound(self.fwd, settings), _bound(self.bwd, own))

    def __repr__(self) -> str:
        """Shows the name and the signature."""
        return f"<rule {self.__name__}{self.__signature__}>"


def chosen(kind: str, table: Mapping[str, Rule], choice: str | Rule) -> Rule:
    """Returns the rule of that name in the table, or the rule itself where one is given.

    Raises:
        ValueError: if there is no such name, with the names there are.
    """
    return choice if isinstance(choice, Rule) else lookup(kind, table, choice)


def _signature_of_out(fwd: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function that returns the `out` of fwd's (out, residuals)."""
    signature = inspect.signature(fwd)
    returned = typing.get_args(signature.return_annotation)
    return signature.replace(return_annotation=returned[0] if returned else signature.empty)


def _settings(half: Callable[..., Any]) -> set[str]:
    """The names of the keyword-only parameters."""
    parameters = inspect.signature(half).parameters.values()
    return {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _refuse_traced(rule: str, settings: Mapping[str, Any]) -> None:
    """Raises a TypeError that names the first setting with a tracer in it."""
    for name, value in settings.items():
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            raise TypeError(
                f"{name} of {rule} is a setting, and settings are static: it must be a Python "
                f"value, not one that jit, grad or vmap traces; got {value}"
            )


def _vary_alike(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs; inside `shard_map` each varies over all mesh axes that any of them varies over.

    `custom_vjp` wants a cotangent to vary over the axes of its input, and no others. But where the
    devices share the weights and split the examples, each device has its own cotangent of the
    weights, and the sum of these is wanted: `pcast` declares that the weights vary, and its own
    cotangent is that sum.
    """
    axes = frozenset().union(*map(_varying, jax.tree.leaves(inputs)))

    def declared(x: Any) -> Any:
        others = sorted(axes - _varying(x), key=str)
        return lax.pcast(x, tuple(others), to="varying") if others else x

    return jax.tree.map(declared, inputs)


def _varying(x: Any) -> frozenset[Any]:
    """The mesh axes of `shard_map` over which x differs from device to device."""
    return jax.typeof(x).manual_axis_type.varying


def _bound(half: Callable[..., Any], settings: dict[str, Any]) -> Callable[..., Any]:
    """The half with these settings, under its own name and docstring."""
    bound = functools.partial(half, **settings)
    functools.update_wrapper(bound, half)
    del bound.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]  # Its signature is another.
    return bound
