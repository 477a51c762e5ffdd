"""Do two gradients agree? Structure first, then the mathematics, then the arithmetic."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from compare.checker.arguments import (
    accepted,
    require_accuracy,
    require_call,
    require_settings,
)
from compare.checker.comparison import Accuracy
from compare.checker.gradient_report import GradientReport
from compare.checker.judge import judge
from compare.checker.reporting.logged import logged
from compare.checker.sides.parameters import Parameters
from compare.checker.sides.question import Question
from compare.checker.sides.settings import keeping_settings
from compare.checker.sides.side import IN_JAX, differentiated, require_scalar, side
from compare.checker.sides.tensors import as_given, in_numpy

__all__ = ["assert_gradients_agree", "check_gradients", "gradients_asked", "require_agreement"]


@logged
@keeping_settings
def check_gradients(
    candidate: Callable[..., Any],
    loss: Callable[..., Any],
    params: Any,
    *args: Any,
    has_aux: bool = False,
    dtype: Any = None,
    jit: bool = True,
    seed: int = 0,
    accuracy: Accuracy = None,
    **kwargs: Any,
) -> GradientReport:
    """Holds the gradient of `candidate` against `jax.grad` of `loss`.

    Before anything else each side is called twice, and must return the same; custom rules in the
    loss are opened, so that it is not held against itself. Then three questions, in this order: is
    every leaf there, of the right shape and dtype, and finite; is the mathematics right (both sides
    in float64 on CPU, against the measured rounding noise of each leaf); is the arithmetic right
    (in `dtype`, on the default device, against the float64 gradient). A side that computes in a
    narrower type inside is judged at that type's precision, and the report says so. Matrix products
    run at the precision set by `jax.default_matmul_precision`, and at "highest" where none is set.

    Args:
        candidate: `candidate(params, *args) -> (loss, grads)`, the hand-derived side.
        loss: `loss(params, *args) -> scalar`, which `jax.grad` differentiates.
        params: a pytree. Its floating arrays, real or complex, and Python's floats are
            differentiated; what else it holds is left as it is. The gradient is compared by path,
            whatever its containers are. Tensors of PyTorch are arrays to `loss`, and tensors again
            to a candidate that is not compiled.
        *args: further arguments of both. Arrays are traced; everything else is passed on as it is.
        has_aux: whether both return more than the loss, as `jax.value_and_grad(has_aux=True)` has
            it: candidate ((loss, aux), grads), and loss (loss, aux). The floating arrays of aux,
            such as a model's new state, are compared as well.
        dtype: every floating array of `params` and `args` is cast to it; None leaves them.
        jit: whether `candidate` runs under `jax.jit`; `jax.grad` of the loss is always compiled.
            Without it a candidate is given NumPy arrays of its own where NumPy arrays were passed.
        seed: of the perturbations that measure the noise.
        accuracy: how much of its largest entry a leaf may be off by, for what is approximate by
            design: a number, or one by path. None: rounding alone.
        **kwargs: keyword arguments of the loss; the candidate is given those that it takes.

    Raises:
        TypeError: one of them is no function, or cannot be called with these arguments.
        ValueError: there is no floating parameter, or one that is not finite; `loss` is not a
            scalar or not a function of its arguments; `candidate` does not return a pair; or one of
            them cannot be traced.
    """
    require_settings(jit=jit, seed=seed)
    question = gradients_asked(
        candidate, loss, params, *args, has_aux=has_aux, accuracy=accuracy, **kwargs
    )
    try:
        return judge(*question.sides, **question.settings, dtype=dtype, jit=jit, seed=seed)
    except ValueError as error:
        if str(error).startswith(IN_JAX) and not has_aux:
            # What is in NumPy may be the candidate, in the place of the loss.
            returned = 0.0
            with contextlib.suppress(Exception):
                returned = loss(params, *args, **kwargs)
            require_scalar(returned)
        raise


def gradients_asked(
    candidate: Callable[..., Any],
    loss: Callable[..., Any],
    params: Any,
    *args: Any,
    has_aux: bool = False,
    accuracy: Accuracy = None,
    **kwargs: Any,
) -> Question:
    """Returns what `check_gradients` of the same arguments asks.

    Raises:
        TypeError: as `check_gradients`.
        ValueError: as `check_gradients`, of the parameters.
    """
    require_call("candidate", candidate, params, *args, **accepted(candidate, kwargs))
    require_call("loss", loss, params, *args, **kwargs)
    given = (params, args, kwargs)
    params, args, kwargs = in_numpy(given)
    parameters = Parameters(params)
    parameters.require_floating()
    parameters.require_finite()

    def of_floating(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def called(floating: Any, args: Any, kwargs: Any) -> Any:
            params, args, kwargs = as_given((parameters.rebuild(floating), args, kwargs), given)
            return fn(params, *args, **accepted(fn, kwargs))

        return called

    return Question(
        side(of_floating(candidate), has_aux),
        differentiated(of_floating(loss), has_aux),
        parameters.floating,
        (args, kwargs),
        {
            "value_name": "" if has_aux else "loss",
            "accuracy": require_accuracy(accuracy, [*parameters.floating, "loss"]),
            "not_compared": parameters.not_compared,
            "containers": parameters.other_containers,
        },
    )


def assert_gradients_agree(
    candidate: Callable[..., Any],
    loss: Callable[..., Any],
    params: Any,
    *args: Any,
    has_aux: bool = False,
    dtype: Any = None,
    jit: bool = True,
    seed: int = 0,
    accuracy: Accuracy = None,
    **kwargs: Any,
) -> None:
    """`check_gradients` for a test.

    Raises:
        AssertionError: the gradients do not agree; its message is the report.
        TypeError: as `check_gradients`.
        ValueError: as `check_gradients`.
    """
    __tracebackhide__ = True
    require_agreement(
        check_gradients(
            candidate, loss, params, *args, has_aux=has_aux, dtype=dtype, jit=jit, seed=seed,
            accuracy=accuracy, **kwargs,
        )
    )  # fmt: skip


def require_agreement(report: GradientReport) -> None:
    """Raises where a report does not agree.

    Raises:
        AssertionError: its message is the report, below one line with what it comes to.
    """
    __tracebackhide__ = True
    if not report.agree:
        raise AssertionError(f"{report.headline}\n\n{report}")
