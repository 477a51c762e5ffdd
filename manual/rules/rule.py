"""A rule: a forward and a backward pass that belong together. Here alone they meet `jax.grad`."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax

from manual.lookup import lookup

__all__ = ["Rule", "chosen"]


class Rule:
    """A function that `jax.grad` differentiates by a backward pass derived by hand.

    It goes wherever an ordinary function goes: into `jit`, `vmap`, `scan`, `shard_map`,
    `checkpoint`. Its docstring is the derivation, both halves of it.

    Attributes:
        fwd: `fwd(*inputs, **settings) -> (out, residuals)`. Keyword-only parameters are static
            settings.
        bwd: `bwd(residuals, d_out, **settings) -> one cotangent per input`, None for integers and
            keys. It gets those settings that it has parameters for.
    """

    def __init__(self, fwd: Callable[..., Any], bwd: Callable[..., Any]):
        self.fwd, self.bwd = fwd, bwd
        functools.update_wrapper(self, fwd)
        self.__name__ = self.__qualname__ = fwd.__name__.removesuffix("_fwd")
        self.__doc__ = f"{inspect.getdoc(fwd)}\n\nBackward pass:\n{inspect.getdoc(bwd)}"
        self._signature = inspect.signature(fwd)
        own = _settings(bwd)

        def forward(settings: dict[str, Any], *inputs: Any) -> tuple[Any, Any]:
            return fwd(*inputs, **settings)

        def backward(settings: dict[str, Any], residuals: Any, d_out: Any) -> Any:
            return bwd(residuals, d_out, **{name: settings[name] for name in own & set(settings)})

        self._tied = jax.custom_vjp(lambda *args: forward(*args)[0], nondiff_argnums=(0,))
        self._tied.defvjp(forward, backward)

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        """Computes the forward pass.

        Raises:
            TypeError: as `fwd` itself would, when the inputs do not fit its signature.
        """
        bound = self._signature.bind(*inputs, **settings)
        bound.apply_defaults()
        return self._tied(bound.kwargs, *bound.args)

    def bind(self, **settings: Any) -> "Rule":
        """Fixes settings: `max_pool.bind(window=(3, 3))` is a rule of the images alone.

        Raises:
            TypeError: there is no such setting.
        """
        unknown = settings.keys() - _settings(self.fwd)
        if unknown:
            raise TypeError(f"{self.__name__} has no setting {min(unknown)!r}")
        own = {name: settings[name] for name in _settings(self.bwd) & settings.keys()}
        return Rule(_bound(self.fwd, settings), _bound(self.bwd, own))

    def __repr__(self) -> str:
        return f"<rule {self.__name__}{self._signature}>"


def chosen(kind: str, table: Mapping[str, Rule], choice: str | Rule) -> Rule:
    """Returns the rule of that name in the table, or the rule itself where one is given.

    Raises:
        ValueError: if there is no such name, with the names there are.
    """
    return choice if isinstance(choice, Rule) else lookup(kind, table, choice)


def _settings(bwd: Callable[..., Any]) -> set[str]:
    """The names of the keyword-only parameters."""
    parameters = inspect.signature(bwd).parameters.values()
    return {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _bound(half: Callable[..., Any], settings: dict[str, Any]) -> Callable[..., Any]:
    """The half with these settings, under its own name and docstring."""
    bound = functools.partial(half, **settings)
    functools.update_wrapper(bound, half)
    del bound.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]  # Its signature is another.
    return bound
