"""Do two gradients agree? Structure first, then the mathematics, then the arithmetic."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.gradient_report import GradientReport
from compare.checker.judge import judge
from compare.checker.sides.evaluation import Side, differentiated, side
from compare.trees import is_float

__all__ = [
    "GradientReport",
    "assert_gradients_agree",
    "check_gradients",
    "check_rule",
]


def check_gradients(
    candidate: Callable[..., Any],
    loss: Callable[..., Any],
    params: Any,
    *args: Any,
    has_aux: bool = False,
    dtype: Any = None,
    jit: bool = True,
    seed: int = 0,
) -> GradientReport:
    """Holds the gradient of `candidate` against `jax.grad` of `loss`.

    Three questions, in this order: is every leaf there, of the right shape and dtype, and finite;
    is the mathematics right (both sides in float64 on CPU, against the measured rounding noise of
    each leaf); is the arithmetic right (in `dtype`, on the default device, against the float64
    gradient). Matrix products run at the precision set by `jax.default_matmul_precision`, and at
    "highest" where none is set.

    Args:
        candidate: `candidate(params, *args) -> (loss, grads)`, the hand-derived side.
        loss: `loss(params, *args) -> scalar`, which `jax.grad` differentiates.
        params: a pytree of floating-point arrays.
        *args: further arguments of both. Arrays are traced; everything else is passed on as it is.
        has_aux: whether both return more than the loss, as `jax.value_and_grad(has_aux=True)` has
            it: candidate ((loss, aux), grads), and loss (loss, aux). The floating arrays of aux,
            such as a model's new state, are compared as well.
        dtype: every floating array of `params` and `args` is cast to it; None leaves them.
        jit: whether `candidate` runs under `jax.jit`; `jax.grad` of the loss is always compiled.
        seed: of the perturbations that measure the noise.

    Raises:
        ValueError: a parameter is not a floating-point array, `loss` is not a scalar, `candidate`
            does not return a pair, or one of them cannot be traced or run in float64.
    """
    sides = side(candidate, has_aux), differentiated(loss, has_aux)
    name = "" if has_aux else "loss"
    return judge(*sides, params, args, dtype=dtype, jit=jit, seed=seed, value_name=name)


def assert_gradients_agree(
    candidate: Callable[..., Any],
    loss: Callable[..., Any],
    params: Any,
    *args: Any,
    has_aux: bool = False,
    dtype: Any = None,
    jit: bool = True,
    seed: int = 0,
) -> None:
    """`check_gradients` for a test.

    Raises:
        AssertionError: the gradients do not agree; its message is the report.
        ValueError: as `check_gradients`.
    """
    report = check_gradients(
        candidate, loss, params, *args, has_aux=has_aux, dtype=dtype, jit=jit, seed=seed
    )
    if not report.agree:
        raise AssertionError(f"\n{report}")


def check_rule(
    fwd: Callable[..., Any],
    bwd: Callable[..., Any],
    *inputs: Any,
    reference: Callable[..., Any] | None = None,
    dtype: Any = None,
    seed: int = 0,
) -> GradientReport:
    """Holds one pair of a `jax.custom_vjp` rule against `jax.vjp`, under random cotangents.

    The leaves of the report are `out` (the forward pass against `reference`, per output) and one
    cotangent for each input by its name in `fwd`'s signature.

    Args:
        fwd: `fwd(*inputs) -> (out, residuals)`.
        bwd: `bwd(residuals, d_out) -> one cotangent per input`; None for integers and keys.
        *inputs: the point at which to compare; floating arrays are differentiated.
        reference: `reference(*inputs) -> out`; None takes `fwd`'s own forward pass.
        dtype: as in `check_gradients`.
        seed: of the cotangents and of the perturbations.

    Raises:
        ValueError: no input is a floating array, or a function cannot be traced.
    """
    rule = _Rule(fwd, bwd, reference or (lambda *xs: fwd(*xs)[0]), inputs)
    args = (rule.fixed, rule.random_cotangents(seed))
    sides = Side(rule.manual), Side(rule.autodiff, rule.loss)
    return judge(*sides, rule.floating, args, dtype=dtype, seed=seed, value_name="out")


class _Rule:
    """A rule as two functions (floating, fixed, cotangents) -> (out, cotangent by input name)."""

    def __init__(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        reference: Callable[..., Any],
        inputs: Sequence[Any],
    ):
        self.fwd, self.bwd, self.reference = fwd, bwd, reference
        self.names = _input_names(fwd, len(inputs))
        named = dict(zip(self.names, inputs, strict=True))
        self.floating = {name: x for name, x in named.items() if is_float(x)}
        self.fixed = {name: x for name, x in named.items() if not is_float(x)}

    def random_cotangents(self, seed: int) -> Any:
        """A normal cotangent for every floating output, none of them uniform."""
        rng = np.random.default_rng(seed)
        shapes = jax.eval_shape(self.reference, *self._in_order(self.floating, self.fixed))
        return jax.tree.map(lambda s: jnp.asarray(rng.standard_normal(s.shape), s.dtype), shapes)

    def manual(self, floating: dict[str, Any], fixed: dict[str, Any], d_out: Any) -> Any:
        out, residuals = self.fwd(*self._in_order(floating, fixed))
        return out, self._named(self.bwd(residuals, d_out), floating)

    def autodiff(self, floating: dict[str, Any], fixed: dict[str, Any], d_out: Any) -> Any:
        out, pullback = jax.vjp(lambda f: self.reference(*self._in_order(f, fixed)), floating)
        return out, pullback(d_out)[0]

    def loss(self, floating: dict[str, Any], fixed: dict[str, Any], d_out: Any) -> Any:
        """A scalar with the cotangents as its gradient: Σ d_out · out."""
        out = self.reference(*self._in_order(floating, fixed))
        products = jax.tree.map(lambda d, y: jnp.sum(d * y), d_out, out)
        return sum(jax.tree.leaves(products))

    def _in_order(self, floating: dict[str, Any], fixed: dict[str, Any]) -> list[Any]:
        return [{**floating, **fixed}[name] for name in self.names]

    def _named(self, cotangents: Any, floating: dict[str, Any]) -> dict[str, Any]:
        """Cotangents by input name; None is zero for a floating input, and right for any other."""
        if not isinstance(cotangents, tuple | list):
            cotangents = (cotangents,)
        names = [*self.names, *(f"extra {i}" for i in range(len(self.names), len(cotangents)))]
        named = dict(zip(names, cotangents, strict=False))
        zeros = {name: jnp.zeros_like(x) for name, x in floating.items()}
        return {
            name: zeros[name] if d is None else d
            for name, d in named.items()
            if d is not None or name in zeros
        }


def _input_names(fwd: Callable[..., Any], count: int) -> list[str]:
    """The names of `fwd`'s positional parameters; those of *inputs are numbered."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(fwd).parameters.values()
    names = [p.name for p in parameters if p.kind in positional][:count]
    return [*names, *(f"input {i}" for i in range(len(names), count))]
