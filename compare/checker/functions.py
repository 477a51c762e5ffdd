"""How any function differentiates: in reverse and forward mode, under `vmap`, once and twice."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.arguments import (
    accepted,
    require_accuracy,
    require_call,
    require_settings,
)
from compare.checker.check import require_agreement
from compare.checker.comparison import Accuracy
from compare.checker.gradient_report import GradientReport
from compare.checker.judge import judge
from compare.checker.reporting.logged import logged
from compare.checker.rules import (
    cotangents,
    inner_product,
    nondifferentiable,
    require_rule,
)
from compare.checker.sides.opened import custom_rules, opened
from compare.checker.sides.parameters import Inputs
from compare.checker.sides.settings import keeping_settings
from compare.checker.sides.side import Side, traceable, with_stand_ins
from compare.escapes import first_line
from compare.trees import Layout

__all__ = ["assert_function_agrees", "check_function"]

Function = Callable[..., Any]


@logged
@keeping_settings
def check_function(
    f: Function,
    *inputs: Any,
    reference: Function | None = None,
    modes: Sequence[str] = ("rev", "fwd", "vmap"),
    order: int = 1,
    dtype: Any = None,
    jit: bool = True,
    seed: int = 0,
    accuracy: Accuracy = None,
    constant: Sequence[str] = (),
    **static: Any,
) -> GradientReport:
    """Holds the derivatives of a function, as jax computes them, against an independent source.

    That source is `jax.grad` of `reference`; without one, of `f` itself with its custom rules
    opened; and where `f` has none, numerical derivatives of its values alone (complex step or
    central differences), as `torch.autograd.gradcheck` and `jax.test_util.check_grads` do. The
    derivative is taken along random cotangents and tangents. Of complex numbers z = x + iy it is
    JAX's: ∂L/∂x − i ∂L/∂y for a real L.

    The leaves of the report are `rev/NAME`, the cotangent of an input; `fwd/NAME`, the derivative
    along one tangent in that input, as one number; `vmap/NAME`, the cotangent out of a batch of
    two points; and with `order=2` `rev over rev/NAME` and `fwd over rev/NAME`, the gradient's own
    derivative along a tangent.

    Args:
        f: any function of pytrees, with any outputs.
        *inputs: the point: floating arrays, real or complex, and Python's floats are
            differentiated; integers, strings and the like are passed on, and so is what a rule
            has in its nondiff_argnums.
        reference: `reference(*inputs)`, another way to compute the same; its custom rules are
            opened.
        modes: of "rev", "fwd" and "vmap"; what jax cannot do (forward mode through
            `jax.custom_vjp`) is listed as not compared.
        order: 1, or 2 for second derivatives as well.
        dtype: as in `check_gradients`.
        jit: whether the derivatives are compiled.
        seed: of the cotangents, tangents and perturbations.
        accuracy: as in `check_gradients`, by the name of an input.
        constant: the names of inputs that are not compared.
        **static: keyword arguments of both functions.

    Raises:
        TypeError: `f` is no function, or cannot be called with these inputs.
        ValueError: no input is differentiated; a mode or order that is not known.
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    unknown = [mode for mode in modes if mode not in _FIRST]
    if unknown or not modes:
        raise ValueError(f"modes are of {', '.join(_FIRST)}; got {', '.join(unknown) or 'none'}")
    if order not in (1, 2):
        raise ValueError(f"order is 1 or 2; got {order!r}")
    require_settings(jit=jit, seed=seed)
    _require_call(f, inputs, static)
    require_rule(f)
    if reference is not None:
        require_call("reference", reference, *inputs, **accepted(reference, static))
    fn = _named(f, static)
    against = None if reference is None else _named(reference, accepted(reference, static))
    point = Inputs(fn, inputs, {*constant, *nondifferentiable(f, inputs)}, constant)
    accuracy = require_accuracy(accuracy, point.parameters.floating)
    point.parameters.require_finite()
    if against is None and custom_rules(_traced(fn, point).jaxpr):
        against = opened(fn)
    problem = _Problem(fn, against, point, *_drawn(fn, point, seed))
    settings = {"dtype": dtype, "jit": jit, "seed": seed, "accuracy": accuracy}
    found: dict[str, GradientReport] = {}
    impossible: dict[str, str] = {}
    for mode in [*dict.fromkeys(modes), *(_SECOND if order == 2 else ())]:
        try:
            found[mode] = _MODES[mode](problem, settings)
        except NotImplementedError as error:
            impossible[mode] = f"jax has no rule for it: {first_line(error)[:60]}"
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            impossible[mode] = "jax has no forward mode through custom_vjp"
    if not found:
        why = "; ".join(dict.fromkeys(impossible.values()))
        raise ValueError(f"{why}: ask for mode rev")
    return _merged(found, {**point.not_compared, **impossible})


def _require_call(f: Any, inputs: Sequence[Any], static: dict[str, Any]) -> None:
    """Refuses what cannot be called so, and a candidate with its loss.

    Raises:
        TypeError: as `check_function`.
    """
    try:
        require_call("f", f, *inputs, **static)
    except TypeError as error:
        if not (inputs and callable(inputs[0])):
            raise
        raise TypeError(
            f"{error}; check_function takes one function and its inputs: a candidate and its loss "
            "are for check_gradients"
        ) from None


def assert_function_agrees(f: Function, *inputs: Any, **settings: Any) -> None:
    """`check_function` for a test.

    Raises:
        AssertionError: the derivatives do not agree; its message is the report.
        TypeError: as `check_function`.
        ValueError: as `check_function`.
    """
    __tracebackhide__ = True
    require_agreement(check_function(f, *inputs, **settings))


class _Problem(NamedTuple):
    """A function at a point.

    Attributes:
        fn: the function.
        against: another that computes the same; None for the referee alone.
        point: its inputs.
        d_out: a random cotangent for each floating output.
        tangents: a random tangent for each input that is differentiated, by path.
    """

    fn: Function
    against: Function | None
    point: Inputs
    d_out: dict[str, Any]
    tangents: dict[str, Any]

    def value(self, fn: Function, floating: Any, fixed: Any, d_out: Any) -> Any:
        """The scalar Re Σ d_out · fn(inputs)."""
        return inner_product(d_out, fn(*self.point.rebuild(floating, fixed)))

    def judged(
        self,
        settings: dict[str, Any],
        params: Any,
        args: Sequence[Any],
        manual: Function,
        loss: Callable[[Function], Function],
    ) -> GradientReport:
        """Holds `manual(params, *args) -> (value, gradient)` against `loss` of the reference."""

        def by_jax(fn: Function) -> tuple[Function, Function]:
            return jax.value_and_grad(loss(fn)), loss(fn)

        return judge(
            Side(manual, value=lambda *args: manual(*args)[0]),
            with_stand_ins(self.fn if self.against is None else self.against, by_jax),
            params,
            args,
            value_name="out",
            not_compared={},
            alone_because="" if self.against else "f has no other source of its derivative",
            **settings,
        )


def _reverse(problem: _Problem, settings: dict[str, Any]) -> GradientReport:
    def loss(fn: Function) -> Function:
        return lambda *args: problem.value(fn, *args)

    args = (problem.point.fixed, problem.d_out)
    manual = jax.value_and_grad(loss(problem.fn))
    return problem.judged(settings, problem.point.parameters.floating, args, manual, loss)


def _forward(problem: _Problem, settings: dict[str, Any]) -> GradientReport:
    """Along each input's own tangent: the derivative by s of f at x + s t."""

    def loss(fn: Function) -> Function:
        def at(steps: Any, floating: Any, fixed: Any, d_out: Any, tangents: Any) -> Any:
            moved = {path: x + steps[path] * tangents[path] for path, x in floating.items()}
            return problem.value(fn, moved, fixed, d_out)

        return at

    def manual(steps: Any, floating: Any, fixed: Any, d_out: Any, tangents: Any) -> Any:
        def along(path: str) -> Any:
            of = {p: t if p == path else jnp.zeros_like(t) for p, t in tangents.items()}
            value = lambda f: problem.value(problem.fn, f, fixed, d_out)  # noqa: E731
            return jax.jvp(value, (dict(floating),), (of,))[1]

        value = problem.value(problem.fn, floating, fixed, d_out)
        return value, {path: along(path) for path in steps}

    floating = dict(problem.point.parameters.floating)
    steps = {path: np.zeros((), x.real.dtype) for path, x in floating.items()}
    args = (floating, problem.point.fixed, problem.d_out, problem.tangents)
    return problem.judged(settings, steps, args, manual, loss)


def _batched(problem: _Problem, settings: dict[str, Any]) -> GradientReport:
    """The gradient at this point as the second of a batch of two."""

    def loss(fn: Function) -> Function:
        return lambda floating, fixed, d_out, tangents: problem.value(fn, floating, fixed, d_out)

    def manual(floating: Any, fixed: Any, d_out: Any, tangents: Any) -> Any:
        two = {p: jnp.stack([x + 0.1 * tangents[p], x]) for p, x in floating.items()}
        of = jax.value_and_grad(lambda f: problem.value(problem.fn, f, fixed, d_out))
        return jax.tree.map(lambda both: both[1], jax.vmap(of)(two))

    args = (problem.point.fixed, problem.d_out, problem.tangents)
    return problem.judged(settings, problem.point.parameters.floating, args, manual, loss)


def _slope(problem: _Problem) -> Callable[[Function], Function]:
    """The derivative of Re Σ d_out · f along the tangents, whose gradient is the second one."""

    def loss(fn: Function) -> Function:
        # A rule that was used once is no equation any more, and so it is opened before.
        fn = fn if fn is problem.fn else opened(fn)

        def slope(floating: Any, fixed: Any, d_out: Any, tangents: Any) -> Any:
            gradient = jax.grad(lambda f: problem.value(fn, f, fixed, d_out))(dict(floating))
            return sum(jnp.sum(jnp.real(gradient[p] * t)) for p, t in tangents.items())

        return slope

    return loss


def _reverse_over_reverse(problem: _Problem, settings: dict[str, Any]) -> GradientReport:
    loss = _slope(problem)
    args = (problem.point.fixed, problem.d_out, problem.tangents)
    manual = jax.value_and_grad(loss(problem.fn))
    return problem.judged(settings, problem.point.parameters.floating, args, manual, loss)


def _forward_over_reverse(problem: _Problem, settings: dict[str, Any]) -> GradientReport:
    loss = _slope(problem)

    def manual(floating: Any, fixed: Any, d_out: Any, tangents: Any) -> Any:
        gradient = jax.grad(lambda f: problem.value(problem.fn, f, fixed, d_out))
        _, second = jax.jvp(gradient, (dict(floating),), (dict(tangents),))
        return loss(problem.fn)(floating, fixed, d_out, tangents), second

    args = (problem.point.fixed, problem.d_out, problem.tangents)
    return problem.judged(settings, problem.point.parameters.floating, args, manual, loss)


_FIRST = ("rev", "fwd", "vmap")
_SECOND = ("rev over rev", "fwd over rev")
_MODES = {
    "rev": _reverse,
    "fwd": _forward,
    "vmap": _batched,
    "rev over rev": _reverse_over_reverse,
    "fwd over rev": _forward_over_reverse,
}


def _merged(found: dict[str, GradientReport], not_compared: dict[str, str]) -> GradientReport:
    """One report of all modes: the first verdict that is no agreement."""
    reports = list(found.values())
    worst = next((report for report in reports if not report.agree), reports[0])
    leaves = [
        dataclasses.replace(leaf, path=f"{mode}/{leaf.path}")
        for mode, report in found.items()
        for leaf in report.leaves
    ]
    lines = [(mode, line) for mode, report in found.items() for line in report.details]
    of_line: dict[str, list[str]] = {}
    for mode, line in lines:
        of_line.setdefault(line, []).append(mode)
    details = [f"{', '.join(of)}: {line}" for line, of in of_line.items()]
    return dataclasses.replace(
        worst,
        leaves=tuple(leaves),
        details=tuple(details),
        detectable=max(report.detectable for report in reports),
        not_compared=tuple(f"{path} ({why})" for path, why in not_compared.items()),
    )


def _named(fn: Function, static: dict[str, Any]) -> Function:
    """`fn` with its keyword arguments, under its own signature."""

    def called(*args: Any) -> Any:
        return fn(*args, **static)

    called.__name__ = getattr(fn, "__name__", "the function")
    try:
        called.__signature__ = inspect.signature(fn)  # pyright: ignore[reportFunctionMemberAccess]
    except (TypeError, ValueError):  # Some functions written in C have none.
        return called
    return called


def _traced(fn: Function, point: Inputs) -> Any:
    tree = (point.parameters.floating, point.fixed)
    layout = Layout(tree)
    of = lambda arrays: fn(*point.rebuild(*layout.rebuild(arrays)))  # noqa: E731
    with traceable(fn, ""):
        return jax.make_jaxpr(of)(layout.arrays(tree))


def _drawn(fn: Function, point: Inputs, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Random cotangents and tangents."""
    rng = np.random.default_rng([seed, 0x0D1])
    tangents = {}
    for path, x in point.parameters.floating.items():
        t = rng.standard_normal(np.shape(x))
        if np.iscomplexobj(x):
            t = t + 1j * rng.standard_normal(np.shape(x))
        tangents[path] = t.astype(jax.dtypes.canonicalize_dtype(x.dtype))
    return cotangents(fn, point, seed), tangents
