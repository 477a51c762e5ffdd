"""Prepares the engines that are not JAX, once each is proved to agree with `jax.grad`.

An engine is `engine(model, point, seed) -> Prepared`, and raises ValueError if it does not agree.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from compare import problems
from compare.benchmark.engines import numpy_engine, torch_base, torch_engine, torch_sequences
from compare.benchmark.timing import Prepared, eager
from compare.checker.check import check_gradients
from compare.checker.gradient_report import GradientReport
from compare.checker.rules import check_rule
from compare.problems.rules import RuleProblem

__all__ = [
    "Foreign", "numpy_mlp", "of_point", "scalars", "torch_language_model", "torch_models",
    "torch_rule", "torch_training",
]  # fmt: skip

Foreign = Callable[[problems.Model, Any, int], Prepared]
Engines = dict[str, Callable[[], Prepared]]
Steps = Callable[..., Any]
"""`steps(params, batch, compiled=False) -> (step, result)`, as `torch_engine.mlp_loss_and_grad`."""


def of_point(
    engines: dict[str, Foreign], model: problems.Model, point: Callable[[], Any], seed: int
) -> Engines:
    """Returns `prepare()` for each engine, on this point."""
    return {name: lambda each=each: each(model, point(), seed) for name, each in engines.items()}


def torch_models(steps: Steps, proved: problems.Model, examples: int) -> dict[str, Foreign]:
    """Returns PyTorch, eager, and on a GPU compiled as well; nothing where it is not installed.

    Args:
        steps: prepares PyTorch's step of a model.
        proved: the model that is proved: what is timed, or a smaller one that does the same.
        examples: on how many at most.
    """
    how = (proved, examples)
    return {name: partial(_model, made, how) for name, made in _versions(steps).items()}


def torch_language_model(
    steps: Steps,
    timed: tuple[problems.LanguageModel, int],
    proved: tuple[problems.LanguageModel, int],
    seed: int,
) -> Engines:
    """Returns what `torch_models` does, for models of tokens, each with its number of heads."""

    def prepare(steps: Steps) -> Prepared:
        (model, heads), (compared, of_compared) = timed, proved

        def candidate(params: Any, batch: Any) -> Any:
            return _once(*steps(params, batch, heads=of_compared))

        point = compared.draw(seed)
        _require(check_gradients(candidate, compared.loss, *point, jit=False, seed=seed), "PyTorch")
        return _timed(steps(*model.draw(seed), heads=heads))

    return {name: partial(prepare, made) for name, made in _versions(steps).items()}


def torch_rule(problem: RuleProblem, cotangent: Callable[[Any], Any], seed: int) -> Engines:
    """Returns what `torch_models` does, for a rule; nothing if PyTorch has no such function.

    Args:
        problem: the rule and its inputs.
        cotangent: `cotangent(inputs)`, like the rule's output.
        seed: of the inputs.
    """
    if problem.name not in torch_sequences.RULES:
        return {}
    steps = partial(torch_sequences.rule_gradient, problem.name)
    sample = problem.draw if problem.sample is None else problem.sample

    def prepare(steps: Steps) -> Prepared:
        def forward(*inputs: Any) -> Any:
            return _once(*steps(inputs, cotangent(inputs)))[0], inputs

        def backward(inputs: Any, d_out: Any) -> Any:
            return _once(*steps(inputs, d_out))[1]

        report = check_rule(
            forward, backward, *sample(seed), reference=problem.reference, jit=False, seed=seed
        )
        _require(report, f"PyTorch's {problem.name}")
        inputs = problem.draw(seed)
        return _timed(steps(inputs, cotangent(inputs)))

    return {name: partial(prepare, made) for name, made in _versions(steps).items()}


def torch_training(batch: int, learning_rate: float) -> dict[str, Foreign]:
    """Returns PyTorch's training by Adam, proved on its first step; nothing if not installed."""

    def gradient(params: Any, state: Any, batch: Any, key: Any) -> Any:
        rows = np.arange(len(batch[0]))
        epoch, result = torch_engine.mlp_training(params, batch, len(rows), learning_rate)
        epoch(rows)
        value, grads, _ = result()
        return (value, state), grads

    def prepare(model: problems.Model, point: Any, seed: int) -> Prepared:
        params, state, data, key = point
        first = jax.tree.map(lambda rows: rows[:batch], data)
        _prove(gradient, model, (params, state, first, key), seed)
        epoch, _ = torch_engine.mlp_training(params, data, batch, learning_rate)
        return eager(epoch, spin_seconds=torch_base.SPIN_SECONDS)

    return {"torch": prepare} if torch_base.installed() else {}


def scalars(activation: str, loss: str) -> dict[str, Foreign]:
    """Returns the scalar engine's step."""

    def candidate(params: Any, state: Any, batch: Any, key: Any) -> Any:
        point = jax.device_get((params, batch))
        _, result = problems.scalar_mlp(*point, activation=activation, loss=loss)
        value, grads = result()
        return (value, state), grads

    def prepare(model: problems.Model, point: Any, seed: int) -> Prepared:
        _prove(candidate, model, point, seed)
        params, _, batch, _ = point
        step, _ = problems.scalar_mlp(params, batch, activation=activation, loss=loss)
        return eager(step)

    return {"scalar": prepare}


def numpy_mlp(model: problems.Model, point: Any, seed: int) -> Prepared:
    """Prepares NumPy's step of the perceptron."""

    def candidate(params: Any, state: Any, batch: Any, key: Any) -> Any:
        value, grads = numpy_engine.mlp_loss_and_grad(*jax.device_get((params, batch)))
        return (value, state), grads

    _prove(candidate, model, point, seed)
    params, _, batch, _ = point
    params, batch = jax.tree.map(np.array, jax.device_get((params, batch)))
    return eager(
        lambda: numpy_engine.mlp_loss_and_grad(params, batch),
        spin_seconds=numpy_engine.SPIN_SECONDS,
    )


def _versions(steps: Steps) -> dict[str, Steps]:
    """PyTorch's steps by the name of the engine, as far as PyTorch is there."""
    if not torch_base.installed():
        return {}
    if torch_base.device() == "cpu":
        return {"torch": steps}
    return {"torch": steps, "torch_compiled": partial(steps, compiled=True)}


def _model(
    steps: Steps, proved: tuple[problems.Model, int], model: problems.Model, point: Any, seed: int
) -> Prepared:
    """Prepares PyTorch's step of a model."""

    def candidate(params: Any, state: Any, batch: Any, key: Any) -> Any:
        value, grads = _once(*steps(params, batch))
        return (value, state), grads

    of, most = proved
    params, _, batch, _ = point
    _prove(candidate, of, of.draw_point(seed, min(len(batch[0]), most)), seed)
    return _timed(steps(params, batch))


def _once(step: Callable[[], Any], result: Callable[[], Any]) -> Any:
    step()
    return result()


def _timed(prepared: tuple[Callable[[], Any], Any]) -> Prepared:
    return eager(prepared[0], spin_seconds=torch_base.SPIN_SECONDS)


def _prove(candidate: Callable[..., Any], model: problems.Model, point: Any, seed: int) -> None:
    settings = {"has_aux": True, "jit": False, "seed": seed}
    _require(check_gradients(candidate, model.loss, *point, **settings), model.name)


def _require(report: GradientReport, name: str) -> None:
    if not report.agree:
        raise ValueError(f"{name}: nothing is timed that is wrong\n{report}")
