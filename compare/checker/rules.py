"""A rule of `jax.custom_vjp` or `jax.custom_jvp`, held against `jax.vjp` of what it computes."""

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_leaves_with_path

from compare.checker.arguments import (
    accepted,
    require_accuracy,
    require_bwd,
    require_call,
    require_known,
    require_settings,
)
from compare.checker.check import require_agreement
from compare.checker.comparison import Accuracy
from compare.checker.gradient_report import GradientReport
from compare.checker.judge import judge
from compare.checker.reporting.logged import logged
from compare.checker.reporting.on_purpose import with_what_may_be_meant
from compare.checker.reporting.other_order import with_the_other_order
from compare.checker.sides.parameters import Inputs, Parameters, input_names, most_inputs
from compare.checker.sides.question import Question
from compare.checker.sides.settings import keeping_settings
from compare.checker.sides.side import Side, told, traceable, with_stand_ins
from compare.trees import Layout, expanded, is_inexact, path_of

__all__ = [
    "assert_rule_agrees", "check_rule", "cotangents", "inner_product", "nondifferentiable",
    "require_rule", "rule_asked",
]  # fmt: skip

Function = Callable[..., Any]


@logged
@keeping_settings
def check_rule(
    rule_or_fwd: Function,
    *bwd_and_inputs: Any,
    reference: Function | None = None,
    dtype: Any = None,
    jit: bool = True,
    seed: int = 0,
    accuracy: Accuracy = None,
    constant: Sequence[str] = (),
    **static: Any,
) -> GradientReport:
    """Holds a rule against `jax.vjp` of what it computes, under random cotangents.

    The leaves of the report are the cotangents, each by the name of its input; `out` is the forward
    pass against `reference`. `check_rule(f, *inputs)` takes a function decorated with
    `jax.custom_vjp` or `jax.custom_jvp`, or a `Rule`; `check_rule(fwd, bwd, *inputs)` the two
    halves.

    Args:
        rule_or_fwd: the decorated function; or `fwd(*inputs) -> (out, residuals)`.
        *bwd_and_inputs: for a pair first `bwd(residuals, d_out) -> one cotangent per input`, None
            or float0 for integers and keys. Then the point: floating arrays, alone or in pytrees,
            and Python's floats are differentiated.
        reference: `reference(*inputs) -> out`; None takes the rule's own forward pass, with every
            custom rule in it opened.
        dtype: as in `check_gradients`.
        jit: whether the rule runs under `jax.jit`.
        seed: of the cotangents and of the perturbations.
        accuracy: as in `check_gradients`.
        constant: the names of inputs that the rule declares constant: they are not compared.
        **static: keyword arguments of the rule; each half and `reference` get those they take.

    Raises:
        TypeError: there is no rule, or it cannot be called so, or bwd does not return a tuple.
        ValueError: no input is differentiated, or a function cannot be traced.
    """
    require_settings(jit=jit, seed=seed)
    question = rule_asked(
        rule_or_fwd, *bwd_and_inputs, reference=reference, seed=seed, accuracy=accuracy,
        constant=constant, **static,
    )  # fmt: skip

    def judged(asked: Question) -> GradientReport:
        return judge(*asked.sides, **asked.settings, dtype=dtype, jit=jit, seed=seed)

    report = with_what_may_be_meant(judged(question), question, judged)
    bwd, *inputs = bwd_and_inputs
    if _is_decorated(rule_or_fwd) or not callable(bwd):
        return report

    def asked(bwd: Function) -> Question:
        return rule_asked(
            rule_or_fwd, bwd, *inputs, reference=reference, seed=seed, constant=constant, **static
        )

    return with_the_other_order(report, bwd, asked)


def rule_asked(
    rule_or_fwd: Function,
    *bwd_and_inputs: Any,
    reference: Function | None = None,
    seed: int = 0,
    accuracy: Accuracy = None,
    constant: Sequence[str] = (),
    **static: Any,
) -> Question:
    """Returns what `check_rule` of the same arguments asks, under the same cotangents.

    Raises:
        TypeError: as `check_rule`, of what can be told without a call of bwd.
        ValueError: as `check_rule`.
    """
    rule, inputs = _rule(rule_or_fwd, bwd_and_inputs, static, reference)
    if reference is not None:
        require_call("reference", reference, *inputs, **accepted(reference, static))
    against = rule.forward if reference is None else _with(reference, static)
    point = Inputs(rule.signature, inputs, {*constant, *rule.constant(inputs)}, constant)
    point.parameters.require_finite("input", infinite=True)
    d_out = cotangents(against, point, seed)

    def manual(floating: Any, fixed: Any, d_out: Any, backward: Function = rule.backward) -> Any:
        out, gradient = backward(point.rebuild(floating, fixed), d_out, point)
        return _floating_outputs(out), gradient

    def value(floating: Any, fixed: Any, d_out: Any) -> Any:
        return inner_product(d_out, rule.forward(*point.rebuild(floating, fixed)))

    def by_jax(reference: Function) -> tuple[Function, Function]:
        def autodiff(floating: Any, fixed: Any, d_out: Any) -> Any:
            out, pullback = jax.vjp(lambda f: reference(*point.rebuild(f, fixed)), floating)
            return _floating_outputs(out), pullback(_complete(d_out, out))[0]

        def loss(floating: Any, fixed: Any, d_out: Any) -> Any:
            return inner_product(d_out, reference(*point.rebuild(floating, fixed)))

        return autodiff, loss

    by_lines = None
    if isinstance(rule, _Decorated) and rule.has_halves:
        by_lines = Side(functools.partial(manual, backward=rule.by_halves))
    return Question(
        Side(manual, value=value, by_lines=by_lines),
        with_stand_ins(against, by_jax),
        point.parameters.floating,
        (point.fixed, d_out),
        {
            "value_name": "out",
            "accuracy": require_accuracy(accuracy, [*point.parameters.floating, "out"]),
            "not_compared": point.not_compared,
        },
    )


def assert_rule_agrees(rule_or_fwd: Function, *bwd_and_inputs: Any, **settings: Any) -> None:
    """`check_rule` for a test.

    Raises:
        AssertionError: the rule does not agree; its message is the report.
        TypeError: as `check_rule`.
        ValueError: as `check_rule`.
    """
    __tracebackhide__ = True
    require_agreement(check_rule(rule_or_fwd, *bwd_and_inputs, **settings))


def cotangents(fn: Function, point: Inputs, seed: int) -> dict[str, Any]:
    """Draws a normal cotangent for every floating output of a function, by its number.

    None of them is uniform: that would hide a rule that ignores its cotangent.

    Raises:
        ValueError: no output is floating, or the function cannot be traced.
    """
    # Not the stream that a person's own `default_rng(seed)` has drawn the point from.
    rng = np.random.default_rng([seed, 0x0D0])
    tree = (point.parameters.floating, point.fixed)
    layout = Layout(tree)

    def of(arrays: list[Any]) -> Any:
        return fn(*point.rebuild(*layout.rebuild(arrays)))

    with traceable(fn, "give a reference in jax.numpy: "):
        shapes = jax.eval_shape(of, layout.arrays(tree))
    drawn: dict[str, Any] = {}
    for number, shape in enumerate(jax.tree.leaves(shapes)):
        if jnp.issubdtype(shape.dtype, jnp.inexact):
            d = rng.standard_normal(shape.shape)
            if jnp.issubdtype(shape.dtype, jnp.complexfloating):
                d = d + 1j * rng.standard_normal(shape.shape)
            drawn[f"{number:03}"] = jnp.asarray(d, shape.dtype)
    if not drawn:
        raise ValueError("the function has no floating output, and so there is no gradient")
    return drawn


def inner_product(d_out: dict[str, Any], out: Any) -> Any:
    """Computes Re Σ d_out · out: a scalar whose gradient are the cotangents of the inputs."""
    leaves = jax.tree.leaves(out)
    return sum(jnp.sum(jnp.real(d * leaves[int(number)])) for number, d in d_out.items())


def _complete(d_out: dict[str, Any], out: Any) -> Any:
    """The cotangents in the structure of the output, with float0 for what is not floating."""
    leaves, structure = jax.tree.flatten(out)
    full = [
        d_out.get(f"{number:03}", np.zeros(jnp.shape(leaf), jax.dtypes.float0))
        for number, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, full)


def _floating_outputs(out: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf if is_inexact(leaf) else None, out)


class _Pair(NamedTuple):
    """The two halves of a rule.

    Attributes:
        fwd: the forward half.
        bwd: the backward half.
        most: how many inputs fwd has, those included that are given by keyword or left out: bwd may
            return None for each of these.
    """

    fwd: Function
    bwd: Function
    most: float = 0

    @property
    def signature(self) -> Function:
        return self.fwd

    def constant(self, inputs: Sequence[Any]) -> set[str]:
        return set()

    def forward(self, *inputs: Any) -> Any:
        return self._both(inputs)[0]

    def backward(self, inputs: list[Any], d_out: Any, point: Inputs) -> tuple[Any, Any]:
        out, residuals = self._both(inputs)
        cotangents = self._cotangents(residuals, _complete(d_out, out))
        if not isinstance(cotangents, tuple | list):
            raise TypeError(
                f"bwd must return a tuple with one cotangent for each input; it returned "
                f"{told(cotangents)}: for a single input write `return (dx,)`"
            )
        spare = cotangents[len(point.names) :]
        if len(cotangents) <= self.most and all(d is None for d in spare):
            cotangents = cotangents[: len(point.names)]
        return out, _by_path(cotangents, point)

    def _cotangents(self, residuals: Any, d_out: Any) -> Any:
        try:
            return self.bwd(residuals, d_out)
        except Exception as error:
            try:
                self.bwd(d_out, residuals)
            except Exception:
                raise error from None
            raise TypeError(
                "bwd is called as bwd(residuals, d_out); it fails so, and runs with the two "
                "swapped: is d_out its first argument?"
            ) from None

    def _both(self, inputs: Sequence[Any]) -> Any:
        result = self.fwd(*inputs)
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise TypeError(f"fwd must return (out, residuals); it returned {told(result)}")
        return result


class _Decorated(NamedTuple):
    """A function that `jax.custom_vjp` or `jax.custom_jvp` has decorated."""

    fn: Any
    static: dict[str, Any]

    @property
    def signature(self) -> Function:
        return self.fn.fun

    def constant(self, inputs: Sequence[Any]) -> set[str]:
        return nondifferentiable(self.fn, inputs)

    def forward(self, *inputs: Any) -> Any:
        return self.fn.fun(*inputs, **self.static)

    def backward(self, inputs: list[Any], d_out: Any, point: Inputs) -> tuple[Any, Any]:
        tree = Parameters(OrderedDict(zip(point.names, inputs, strict=True)))
        kept = {path: x for path, x in tree.floating.items() if path in point.parameters.floating}

        def of(floating: Any) -> Any:
            named = tree.rebuild(floating)
            return self.fn(*(named[name] for name in point.names), **self.static)

        out, pullback = jax.vjp(of, kept)
        return out, pullback(_complete(d_out, out))[0]

    @property
    def has_halves(self) -> bool:
        """Whether it has two halves that take what those of a pair take."""
        return isinstance(self.fn, jax.custom_vjp) and not self.fn.symbolic_zeros

    def by_halves(self, inputs: list[Any], d_out: Any, point: Inputs) -> tuple[Any, Any]:
        """What `backward` computes, by its own two halves, each operation at its own line.

        JAX gives all that bwd computes the line of the call.
        """
        given = inspect.signature(self.fn.fun).bind(*inputs, **self.static)
        given.apply_defaults()
        constant = {i: given.args[i] for i in self.fn.nondiff_argnums}

        def bwd(residuals: Any, d_out: Any) -> Any:
            cotangents = self.fn.bwd(*constant.values(), residuals, d_out)
            if not isinstance(cotangents, tuple | list):
                return cotangents
            rest = iter(cotangents)
            every = [None if i in constant else next(rest, None) for i in range(len(given.args))]
            return [*every, *rest]

        return _Pair(self.fn.fwd, bwd).backward([*given.args], d_out, point)


def _rule(
    first: Any, rest: tuple[Any, ...], static: dict[str, Any], reference: Function | None
) -> tuple[_Pair | _Decorated, tuple[Any, ...]]:
    """The rule that was given, and the inputs after it.

    Raises:
        TypeError: there is none, or it cannot be called so.
    """
    decorated: Any = inspect.unwrap(first, stop=_is_decorated) if callable(first) else first
    if _is_decorated(decorated):
        require_rule(decorated)
        require_call("the rule", decorated.fun, *rest, **static)
        return _Decorated(decorated, static), rest
    fwd, bwd = getattr(first, "fwd", None), getattr(first, "bwd", None)
    if callable(fwd) and callable(bwd):
        first, rest = fwd, (bwd, *rest)
    if not (callable(first) and rest and callable(rest[0])):
        raise TypeError(
            "check_rule takes a function decorated with jax.custom_vjp or jax.custom_jvp, or fwd "
            "and bwd, and then the inputs; for any other function there is check_function"
        )
    require_known(static, fwd=first, bwd=rest[0], reference=reference)
    require_call("fwd", first, *rest[1:], **accepted(first, static))
    require_bwd(rest[0], static)
    most = max(most_inputs(first), len(rest) - 1 + len(static))
    return _Pair(_with(first, static), _with(rest[0], static), most), rest[1:]


def nondifferentiable(fn: Any, inputs: Sequence[Any]) -> set[str]:
    """Returns the names of those inputs that the rule of a function has in its nondiff_argnums."""
    if not _is_decorated(fn):
        return set()
    names = input_names(fn.fun, len(inputs))
    return {names[i] for i in fn.nondiff_argnums if i < len(names)}


def require_rule(decorated: Any) -> None:
    """Refuses a function that is decorated, but was not given a rule.

    Raises:
        TypeError: defvjp or defjvp was not called.
    """
    for kind, name, call in ((jax.custom_vjp, "fwd", "defvjp(fwd, bwd)"),
                             (jax.custom_jvp, "jvp", "defjvp(jvp)")):  # fmt: skip
        if isinstance(decorated, kind) and getattr(decorated, name, None) is None:
            raise TypeError(f"the function has no rule yet: call its {call} first")


def _is_decorated(fn: Any) -> bool:
    return isinstance(fn, jax.custom_vjp | jax.custom_jvp)


def _with(fn: Function, static: dict[str, Any]) -> Function:
    """`fn` with those keyword arguments that it takes."""
    own = accepted(fn, static)
    if not own:
        return fn

    def called(*args: Any) -> Any:
        return fn(*args, **own)

    called.__signature__ = inspect.signature(fn)  # pyright: ignore[reportFunctionMemberAccess]
    return called


def _by_path(cotangents: Sequence[Any], point: Inputs) -> dict[str, Any]:
    """The cotangents of a pair, by path; None is zero for all that is differentiated below it."""
    floating = point.parameters.floating
    names = [*point.names, *(f"extra {i}" for i in range(len(point.names), len(cotangents)))]
    found: dict[str, Any] = {}
    for name, d in zip(names, cotangents, strict=False):
        if name in point.fixed:
            continue
        for path, leaf in tree_leaves_with_path({name: expanded(d)}, is_leaf=lambda x: x is None):
            where = path_of(path, "")
            if leaf is not None or name not in point.names:
                found[where] = jnp.zeros(()) if leaf is None else leaf
                continue
            below = [p for p in floating if p == where or p.startswith(f"{where}/")]
            found |= {p: jnp.zeros_like(floating[p]) for p in below}
    return {path: d for path, d in found.items() if path not in point.not_compared}
