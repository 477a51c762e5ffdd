"""A rule: a forward and a backward pass that belong together.

No other module of this package uses `jax.custom_vjp`.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

from manual.lookup import lookup

__all__ = ["Rule", "chosen"]


_P = ParamSpec("_P")
_Out = TypeVar("_Out")


class Rule(Generic[_P, _Out]):
    """A function that `jax.grad` differentiates by a backward pass derived by hand.

    Its inputs are the positional parameters of the forward pass: arrays, of which the backward pass
    returns the cotangents. Its settings are the keyword-only parameters, such as a stride or a
    rate. Settings are static: Python values that no transformation traces. What is to be traced,
    by `jit` or by `jax.grad`, has to be an input.

    A rule goes wherever an ordinary function goes: into `jit`, `vmap`, `scan`, `checkpoint`, and
    into `shard_map`, where the cotangent of an input that devices share is summed over them; on a
    mesh with explicit axes a cotangent lies where its input lies. A second `jax.grad`
    differentiates the code of both halves, and so does `jax.hessian`, which is forward mode over
    reverse mode. Forward mode alone, such as `jax.jvp` or `jax.jacfwd`, is refused by JAX: "can't
    apply forward-mode autodiff (jvp) to a custom_vjp function".

    Attributes:
        fwd: the forward pass, `fwd(*inputs, **settings) -> (out, residuals)`.
        bwd: the backward pass, `bwd(residuals, d_out, **settings)`, which returns a tuple of one
            cotangent per input, None for integers and keys. It gets only the settings that it has
            parameters for.
        __name__: the name of `fwd` without "_fwd".
        __doc__: the derivation: the docstring of `fwd`, then that of `bwd`.
        __signature__: the signature of `fwd`, but with `out` alone as its result.
    """

    def __init__(self, fwd: Callable[_P, tuple[_Out, Any]], bwd: Callable[..., Any]) -> None:
        """Ties the two halves together with `jax.custom_vjp`."""
        self.fwd, self.bwd = fwd, bwd
        functools.update_wrapper(self, fwd, assigned=("__module__",))
        self.__name__ = self.__qualname__ = fwd.__name__.removesuffix("_fwd")
        self.__doc__ = f"{inspect.getdoc(fwd)}\n\nBackward pass:\n{inspect.getdoc(bwd)}"
        self.__signature__ = _signature_of_out(fwd)
        own = _settings(bwd)

        def forward(static: _Static, *inputs: Any) -> tuple[Any, Any]:
            return fwd(*inputs, **static.settings)

        def backward(static: _Static, residuals: Any, d_out: Any) -> Any:
            settings = {name: static.settings[name] for name in own & set(static.settings)}
            half = functools.partial(bwd, **settings)
            if static.placed is not None:
                half = jax.sharding.auto_axes(out_sharding=static.placed)(half)
            return half(residuals, d_out)

        self._tied = jax.custom_vjp(lambda *args: forward(*args)[0], nondiff_argnums=(0,))
        self._tied.defvjp(forward, backward)

    def __call__(self, *inputs: _P.args, **settings: _P.kwargs) -> _Out:
        """Computes the forward pass, and returns `out` without the residuals.

        Raises:
            TypeError: if the arguments do not fit the signature of `fwd`, or a setting is traced.
            AssertionError: if shapes or dtypes are not what `fwd` takes.
        """
        try:
            bound = self.__signature__.bind(*inputs, **settings)
        except TypeError as error:
            raise TypeError(f"{error}; it is {self.__name__}{_names(self.__signature__)}") from None
        bound.apply_defaults()
        _refuse_traced(self.__name__, bound.kwargs)
        _refuse_what_is_no_array(self.__name__, bound.arguments, bound.args)
        arrays = tuple(jnp.asarray(x) if _is_number(x) else x for x in bound.args)
        alike, placed = _on_one_mesh(_vary_alike(arrays))
        static = {name: _in_python(value) for name, value in bound.kwargs.items()}
        try:
            return self._tied(_Static(static, placed), *alike)
        except AssertionError as error:
            given = ", ".join(
                f"{name} {_told(x)}" for name, x in zip(bound.arguments, arrays, strict=False)
            )
            raise AssertionError(f"{self.__name__}: {error} It was given {given}.") from None

    def bind(self, **settings: Any) -> "Rule[..., _Out]":
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


class _Static(NamedTuple):
    """What JAX traces nothing of: the settings, and where each input lies on an explicit mesh."""

    settings: dict[str, Any]
    placed: tuple[Any, ...] | None


def chosen(
    kind: str, table: Mapping[str, Rule[..., _Out]], choice: str | Rule[..., _Out]
) -> Rule[..., _Out]:
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


def _names(signature: inspect.Signature) -> inspect.Signature:
    """The signature without types: what follows the star is a setting, given by name."""
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=signature.empty)


def _told(x: Any) -> str:
    """The dtype and shape of an input in words."""
    return "None" if x is None else jax.typeof(x).str_short()


def _is_number(x: Any) -> bool:
    return isinstance(x, bool | int | float | complex)


def _in_python(setting: Any) -> Any:
    """A setting; a number of NumPy's, which would have a dtype of its own, as one of Python's."""
    return setting.item() if isinstance(setting, np.generic) else setting


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


def _refuse_what_is_no_array(rule: str, named: Mapping[str, Any], inputs: tuple[Any, ...]) -> None:
    """Raises a TypeError that names the first input that is neither array, number nor None."""
    for name, x in zip(named, inputs, strict=False):
        if not (x is None or hasattr(x, "dtype") or _is_number(x)):
            raise TypeError(
                f"{name} of {rule} must be an array, got {type(x).__name__}; "
                "make one with jax.numpy.asarray"
            )


def _on_one_mesh(inputs: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """The inputs and their shardings, if some lie on a mesh with explicit axes, else None.

    On such a mesh the sharding is a part of the type, and a cotangent has its input's. It cannot be
    told from the operations of the backward pass: a sum over examples that are split may end up
    anywhere. So these take the mesh's axes as automatic, and their results are put where they
    belong. An input that lies on no mesh is put on this one, whole on each device.
    """
    meshes = [jax.typeof(x).sharding.mesh for x in jax.tree.leaves(inputs)]
    mesh = next((mesh for mesh in meshes if mesh.explicit_axes), None)
    if mesh is None:
        return inputs, None

    def put(x: Any) -> Any:
        if not jax.typeof(x).sharding.mesh.empty:
            return x
        return jax.sharding.reshard(x, NamedSharding(mesh, PartitionSpec()))

    inputs = jax.tree.map(put, inputs)
    return inputs, tuple(None if x is None else jax.typeof(x).sharding for x in inputs)


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
