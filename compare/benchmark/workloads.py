"""Lists what the benchmark times: every rule and every model, at several sizes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from compare import problems
from compare.benchmark.engines import numpy_engine, torch_engine
from compare.benchmark.timing import Prepared, Subject, compiled, eager
from compare.checker.check import check_gradients
from compare.checker.rules import check_rule
from compare.problems.derivations import of_rule
from compare.problems.rules import RULES, RuleProblem, user_cnn_losses
from compare.training.steps import init_state, make_epoch

__all__ = ["subjects"]

Foreign = Callable[[problems.Model, Any, int], Prepared]
"""An engine that is not JAX: `engine(model, point, seed)` proves its gradient and prepares it."""

_CLASSES = "softmax_cross_entropy_with_integer_labels"
_BINARY = "sigmoid_binary_cross_entropy"


def subjects(only: str = "", *, smallest: bool = False, seed: int = 0) -> list[Subject]:
    """Lists the subjects to time, the models first.

    Args:
        only: take subjects whose name contains this; all if not given.
        smallest: take only the smallest size of each.
        seed: of the numbers.
    """
    found: dict[str, list[Subject]] = {}
    for subject in (
        *_models(seed),
        *_sequence_models(seed),
        *_small_models(seed),
        *_trainings(seed),
        *_user_models(seed),
        *(_rule(rule, seed) for rule in RULES),
    ):
        if only in subject.name:
            found.setdefault(subject.name, []).append(subject)
    return [s for sizes in found.values() for s in (sizes[:1] if smallest else sizes)]


def _rule(problem: RuleProblem, seed: int) -> Subject:
    """Returns a rule forward and backward, with a cotangent of normal numbers."""
    rule = problem.rule

    def manual(inputs: Any, d_out: Any) -> Any:
        out, residuals = rule.fwd(*inputs)
        return out, rule.bwd(residuals, d_out)

    def forward(*inputs: Any) -> Any:
        return rule.fwd(*inputs)[0]

    def by_vjp(f: Callable[..., Any], inputs: Any, d_out: Any) -> Any:
        out, pullback = jax.vjp(f, *inputs)
        return out, pullback(d_out)

    def prepare(work: Callable[..., Any]) -> Prepared:
        inputs = problem.draw(seed)
        rng = np.random.default_rng(seed)
        outputs = jax.eval_shape(problem.reference, *inputs)
        d_out = jax.tree.map(lambda y: jnp.asarray(rng.standard_normal(y.shape), y.dtype), outputs)
        return compiled(work, inputs, d_out)

    return Subject(
        name=problem.name,
        batch=problem.size,
        prove=lambda: check_rule(
            rule.fwd, rule.bwd, *problem.draw(seed), reference=problem.reference, seed=seed
        ),
        engines={
            "manual": partial(prepare, manual),
            "autodiff": partial(prepare, partial(by_vjp, problem.reference)),
            "autodiff_same_forward": partial(prepare, partial(by_vjp, forward)),
        },
        derivations=(of_rule(rule),),
    )


def _models(seed: int) -> list[Subject]:
    mlp = problems.mlp((784, 512, 512, 10), "relu", _CLASSES)
    regularised = problems.regularised_mlp((128, 256, 128, 64, 1), _BINARY)
    cnn = problems.cnn((28, 28, 1), (16, 32), 10, _CLASSES)
    mlp_others: dict[str, Foreign] = {"numpy": _numpy_mlp}
    cnn_others: dict[str, Foreign] = {}
    if torch_engine.installed():
        mlp_others["torch"] = partial(_torch, torch_engine.mlp_loss_and_grad)
        cnn_others["torch"] = partial(_torch, torch_engine.cnn_loss_and_grad)
    return [
        *(_model(cnn, batch, seed, cnn_others) for batch in (32, 128)),
        *(_model(mlp, batch, seed, mlp_others) for batch in (32, 128)),
        *(_model(regularised, batch, seed, {}) for batch in (64, 256, 1024)),
    ]


def _sequence_models(seed: int) -> list[Subject]:
    """Returns the recurrent classifiers of MNIST's rows, and the transformers."""
    recurrent = [problems.recurrent(cell, (28, 28), 128, 10, _CLASSES) for cell in ("lstm", "gru")]
    images = problems.transformer((28, 28), 64, 3, 10, _CLASSES)
    return [
        *(_model(model, 128, seed, {}) for model in (*recurrent, images)),
        _language_model("2×8 of 64", problems.language_model(64, 32, 1, 2, (2, 8)), seed),
        _language_model("8×256 of 8192", problems.language_model(8192, 256, 4, 8, (8, 256)), seed),
    ]


def _small_models(seed: int) -> list[Subject]:
    """Returns networks small enough for the scalar engine: that of XOR, and two of few pixels."""
    small = [
        (problems.mlp((2, 4, 1), "leaky_relu", _BINARY), 4, "leaky_relu", _BINARY),
        (problems.mlp((49, 4, 10), "relu", _CLASSES), 8, "relu", _CLASSES),
        (problems.mlp((49, 32, 10), "relu", _CLASSES), 8, "relu", _CLASSES),
    ]
    return [
        _model(model, batch, seed, {"scalar": partial(_scalars, activation, loss)})
        for model, batch, activation, loss in small
    ]


def _language_model(size: str, model: problems.LanguageModel, seed: int) -> Subject:
    """Returns one step of a causal transformer of tokens."""
    return Subject(
        name="transformer of tokens",
        batch=size,
        prove=lambda: check_gradients(model.manual, model.loss, *model.draw(seed), seed=seed),
        engines={
            "manual": lambda: compiled(model.manual, *model.draw(seed)),
            "autodiff": lambda: compiled(jax.value_and_grad(model.loss), *model.draw(seed)),
        },
    )


_BATCH, _LEARNING_RATE = 128, 1e-3
_FEW_ROWS, _EPOCHS = 1_280, (12_800, 60_000)
"""Rows of an epoch: of ten steps, of a hundred, and of all of MNIST."""


def _trainings(seed: int) -> list[Subject]:
    mlp = problems.mlp((784, 512, 10), "relu", _CLASSES)
    cnn = problems.cnn((28, 28, 1), (16, 32), 10, _CLASSES)
    mlp_others: dict[str, Foreign] = {"torch": _torch_training} if torch_engine.installed() else {}
    return [
        *(_training(mlp, rows, seed, mlp_others) for rows in _EPOCHS),
        _training(cnn, _FEW_ROWS, seed, {}),
    ]


def _training(
    model: problems.Model,
    rows: int,
    seed: int,
    others: dict[str, Foreign],
) -> Subject:
    """Returns one epoch of Adam in shuffled batches, on random numbers."""

    def point() -> Any:
        return model.draw_point(seed, rows)

    def prepare(loss_and_grad: Callable[..., Any]) -> Prepared:
        params, state, data, key = point()
        optimizer = optax.adam(_LEARNING_RATE)
        epoch = make_epoch(loss_and_grad, optimizer, _BATCH)
        return compiled(epoch, init_state(params, state, optimizer, key), *data)

    def batch() -> Any:
        return model.draw_point(seed, _BATCH)

    return Subject(
        name=f"training {model.name} {model.settings}",
        batch=f"{_BATCH} of {rows}",
        prove=lambda: check_gradients(model.manual, model.loss, *batch(), has_aux=True, seed=seed),
        engines={
            "manual": lambda: prepare(model.manual),
            "autodiff": lambda: prepare(jax.value_and_grad(model.loss, has_aux=True)),
            **_foreign(others, model, point, seed),
        },
    )


def _torch_training(model: problems.Model, point: Any, seed: int) -> Prepared:
    """Prepares PyTorch's training, once the gradient of its first step agrees with `jax.grad`."""
    params, state, data, key = point
    first = jax.tree.map(lambda rows: rows[:_BATCH], data)
    _prove(_torch_training_gradient, model, (params, state, first, key), seed)
    epoch, _ = torch_engine.mlp_training(params, data, _BATCH, _LEARNING_RATE)
    return eager(epoch, spin_seconds=torch_engine.SPIN_SECONDS)


def _torch_training_gradient(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """Returns the gradient of the first step of PyTorch's training, the batch being all rows."""
    rows = np.arange(len(batch[0]))
    epoch, result = torch_engine.mlp_training(params, batch, len(rows), _LEARNING_RATE)
    epoch(rows)
    value, grads, _ = result()
    return (value, state), grads


def _user_models(seed: int) -> list[Subject]:
    """Returns `jax.grad` of a user's CNN with our max_pool: of a batch, and of each example."""
    cnn = problems.cnn((28, 28, 1), (16, 32), 10, _CLASSES)
    ours, theirs = (jax.value_and_grad(loss) for loss in user_cnn_losses())

    def point() -> Any:
        params, _, batch, _ = cnn.draw_point(seed, 64)
        return params, batch

    def of_each(gradient: Callable[..., Any], params: Any, batch: Any) -> Any:
        x, labels = batch
        one = jax.vmap(lambda x, label: gradient(params, (x[None], label[None])))
        return one(x, labels)

    def subject(size: str, work: Callable[..., Callable[..., Any]]) -> Subject:
        return Subject(
            name="jax.grad of a CNN with our max_pool",
            batch=size,
            prove=lambda: check_gradients(ours, user_cnn_losses()[1], *point(), seed=seed),
            engines={
                "manual": lambda: compiled(work(ours), *point()),
                "autodiff": lambda: compiled(work(theirs), *point()),
            },
        )

    return [subject("64", lambda f: f), subject("64 by vmap", lambda f: partial(of_each, f))]


def _model(
    model: problems.Model,
    batch: int,
    seed: int,
    others: dict[str, Foreign],
) -> Subject:
    """Returns the loss and gradient of one step, on random numbers."""
    by_jax = jax.value_and_grad(model.loss, has_aux=True)
    same_forward = jax.value_and_grad(lambda *args: model.manual(*args)[0], has_aux=True)

    def point() -> Any:
        return model.draw_point(seed, batch)

    return Subject(
        name=f"{model.name} {model.settings}",
        batch=str(batch),
        prove=lambda: check_gradients(model.manual, model.loss, *point(), has_aux=True, seed=seed),
        engines={
            "manual": lambda: compiled(model.manual, *point()),
            "autodiff": lambda: compiled(by_jax, *point()),
            "autodiff_same_forward": lambda: compiled(same_forward, *point()),
            **_foreign(others, model, point, seed),
        },
        derivations=model.derivations,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(point)[0])),
    )


def _foreign(
    others: dict[str, Foreign], model: problems.Model, point: Callable[[], Any], seed: int
) -> dict[str, Callable[[], Prepared]]:
    """Returns `prepare()` for each engine that is not JAX, on this point."""
    return {name: lambda other=other: other(model, point(), seed) for name, other in others.items()}


def _torch(steps: Callable[..., Any], model: problems.Model, point: Any, seed: int) -> Prepared:
    """Prepares PyTorch's step, once its gradient agrees with `jax.grad`."""

    def candidate(params: Any, state: Any, batch: Any, key: Any) -> Any:
        step, result = steps(params, batch)
        step()
        value, grads = result()
        return (value, state), grads

    _prove(candidate, model, point, seed)
    params, _, batch, _ = point
    step, _ = steps(params, batch)
    return eager(step, spin_seconds=torch_engine.SPIN_SECONDS)


def _scalars(activation: str, loss: str, model: problems.Model, point: Any, seed: int) -> Prepared:
    """Prepares the scalar engine's step, once its gradient agrees with `jax.grad`."""

    def candidate(params: Any, state: Any, batch: Any, key: Any) -> Any:
        point = jax.device_get((params, batch))
        _, result = problems.scalar_mlp(*point, activation=activation, loss=loss)
        value, grads = result()
        return (value, state), grads

    _prove(candidate, model, point, seed)
    params, _, batch, _ = point
    step, _ = problems.scalar_mlp(params, batch, activation=activation, loss=loss)
    return eager(step)


def _numpy_mlp(model: problems.Model, point: Any, seed: int) -> Prepared:
    """Prepares NumPy's step, once its gradient agrees with `jax.grad`."""

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


def _prove(candidate: Callable[..., Any], model: problems.Model, point: Any, seed: int) -> None:
    report = check_gradients(candidate, model.loss, *point, has_aux=True, jit=False, seed=seed)
    if not report.agree:
        raise ValueError(f"{model.name}: nothing is timed that is wrong\n{report}")
