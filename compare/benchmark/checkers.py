"""Wraps each method of checking a gradient as one function, all with the same arguments.

`check(loss, candidate, params, args)` raises `AssertionError` if the method finds the gradient
wrong. `loss(params, *args)` and `candidate(params, *args) -> (loss, grads)` are as in
`check_gradients`. Every method has its own default tolerances.
"""

import importlib
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from compare.checker.check import check_gradients
from compare.trees import is_float

__all__ = ["METHODS", "OURS", "YARDSTICK", "Case", "Method", "installed", "with_backward"]


class Case(NamedTuple):
    """A gradient to be checked.

    Attributes:
        name: of the loss, or of the mistake.
        loss: `loss(params, *args)`.
        candidate: `candidate(params, *args) -> (loss, grads)`.
        params: where the gradient is checked.
        args: the further arguments.
        right: whether the candidate's gradient is right.
    """

    name: str
    loss: Callable[..., Any]
    candidate: Callable[..., Any]
    params: Any
    args: tuple[Any, ...]
    right: bool


class Method(NamedTuple):
    """A method of checking a gradient.

    Attributes:
        check: `check(loss, candidate, params, args)`.
        library: the optional one that it needs; "" if there is none.
    """

    check: Callable[[Any, Any, Any, tuple[Any, ...]], None]
    library: str = ""


def one_gradient(loss: Any, candidate: Any, params: Any, args: tuple[Any, ...]) -> None:
    """Compiles `jax.value_and_grad` of the loss and runs it once; it checks nothing."""
    jax.block_until_ready(jax.jit(jax.value_and_grad(loss))(params, *args))


def ours(loss: Any, candidate: Any, params: Any, args: tuple[Any, ...]) -> None:
    """Runs `check_gradients`; the error's message is the verdict, and the name of the bug."""
    report = check_gradients(candidate, loss, params, *args)
    if not report.agree:
        bug = f" {report.diagnosis.bug}" if report.diagnosis else ""
        raise AssertionError(report.verdict + bug)


def jax_check_grads(loss: Any, candidate: Any, params: Any, args: tuple[Any, ...]) -> None:
    """Runs `jax.test_util.check_grads`: central differences along one random direction."""
    f = jax.jit(with_backward(loss, candidate, args))
    check_grads(f, (params,), order=1, modes=["rev"])


def chex_numerical_grads(loss: Any, candidate: Any, params: Any, args: tuple[Any, ...]) -> None:
    """Runs `chex.assert_numerical_grads`, which takes arrays: the leaves of the parameters."""
    f = jax.jit(with_backward(loss, candidate, args))
    leaves, structure = jax.tree.flatten(params)
    chex.assert_numerical_grads(
        lambda *leaves: f(jax.tree.unflatten(structure, leaves)), leaves, order=1, modes=["rev"]
    )


def in_float64(check: Callable[..., None]) -> Callable[..., None]:
    """Returns a method that runs in float64."""

    def run(loss: Any, candidate: Any, params: Any, args: tuple[Any, ...]) -> None:
        with jax.enable_x64(True):
            check(loss, candidate, *_float64((params, args)))

    return run


def torch_gradcheck(
    fast_mode: bool, loss: Any, candidate: Any, params: Any, args: tuple[Any, ...]
) -> None:
    """Runs `torch.autograd.gradcheck` in float64: central differences of every entry.

    With `fast_mode` they are taken along one random direction of each leaf instead. A function of
    PyTorch calls the compiled loss, and its backward pass the compiled candidate.
    """
    torch = importlib.import_module("torch")
    with jax.enable_x64(True):
        params, args = _float64((params, args))
        leaves, structure = jax.tree.flatten(params)
        value = jax.jit(lambda *leaves: loss(jax.tree.unflatten(structure, leaves), *args))
        gradient = jax.jit(
            lambda *leaves: jax.tree.leaves(
                candidate(jax.tree.unflatten(structure, leaves), *args)[1]
            )
        )

        class Loss(torch.autograd.Function):
            """The loss, whose backward pass is the candidate's gradient."""

            @staticmethod
            def forward(ctx: Any, *leaves: Any) -> Any:
                ctx.save_for_backward(*leaves)
                return torch.tensor(float(value(*map(_numpy, leaves))), dtype=torch.float64)

            @staticmethod
            def backward(ctx: Any, d: Any) -> Any:
                grads = gradient(*map(_numpy, ctx.saved_tensors))
                return tuple(d * torch.from_numpy(np.array(g)) for g in grads)

        inputs = [torch.from_numpy(np.array(leaf)).requires_grad_() for leaf in leaves]
        # It raises where it finds fault with the function itself, and returns False where the
        # gradient is wrong.
        if not torch.autograd.gradcheck(
            Loss.apply, inputs, fast_mode=fast_mode, raise_exception=False
        ):
            raise AssertionError("the numerical gradient is another one")


def with_backward(
    loss: Callable[..., Any], candidate: Callable[..., Any], args: tuple[Any, ...]
) -> Callable[[Any], Any]:
    """Returns the loss as a function of the parameters, whose gradient is the candidate's."""

    @jax.custom_vjp
    def f(params: Any) -> Any:
        return loss(params, *args)

    def forward(params: Any) -> Any:
        return loss(params, *args), candidate(params, *args)[1]

    def backward(grads: Any, d: Any) -> Any:
        return (jax.tree.map(lambda g: d * g, grads),)

    f.defvjp(forward, backward)
    return f


def _numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy()


def _float64(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if is_float(x) else x, tree)


YARDSTICK, OURS = "compile, one gradient", "check_gradients"

METHODS = {
    YARDSTICK: Method(one_gradient),
    OURS: Method(ours),
    "jax check_grads": Method(jax_check_grads),
    "jax check_grads, f64": Method(in_float64(jax_check_grads)),
    "chex numerical_grads": Method(chex_numerical_grads),
    "chex numerical_grads, f64": Method(in_float64(chex_numerical_grads)),
    "torch gradcheck, fast": Method(partial(torch_gradcheck, True), "torch"),
    "torch gradcheck, slow": Method(partial(torch_gradcheck, False), "torch"),
}
"""Every method by its name."""


def installed() -> list[str]:
    """Lists the methods whose libraries are installed."""
    return [
        name
        for name, method in METHODS.items()
        if not method.library or importlib.util.find_spec(method.library)
    ]
