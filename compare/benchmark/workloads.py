"""Lists what the benchmark times: every rule and every model, at sizes that suit the platform."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import optax

from compare import problems
from compare.benchmark import foreign, programs
from compare.benchmark.engines import torch_engine, torch_sequences
from compare.benchmark.rule_workloads import rule_subjects
from compare.benchmark.timing import Prepared, Subject, compiled
from compare.checker.check import check_gradients, gradients_asked
from compare.checker.gradient_report import GradientReport
from compare.checker.sides.question import Question
from compare.problems.rules import LARGE, RULES, RuleProblem, user_cnn_losses
from compare.training.steps import init_state, make_epoch

__all__ = ["subjects"]

Prove = Callable[[], GradientReport]

_CLASSES = "softmax_cross_entropy_with_integer_labels"
_BINARY = "sigmoid_binary_cross_entropy"


_Language = tuple[int, int, int, int, tuple[int, int]]
_SMALL_LANGUAGE: _Language = (64, 32, 1, 2, (2, 8))


class Sizes(NamedTuple):
    """How large the subjects are on a platform.

    Attributes:
        on_cpu: whether the platform is a CPU.
        cnn: batches of the convolutional network.
        mlp: batches of the perceptron.
        regularised: batches of the perceptron with batch-norm and dropout.
        sequences: batches of the recurrent networks and of the transformer of images.
        language: vocabulary, width, depth, heads and (batch, time) of each transformer of tokens,
            and of that on which its agreement is proved.
        batch: examples of a step of training.
        few_rows: of an epoch of few steps, five on a CPU.
        epochs: rows of the longer epochs.
        borrowed: batches of a user's network with our max_pool.
        rules: at their sizes.
        proved_on: on how many examples the agreement of a model is proved at most; on twice as many
            where that is what is timed, so that it is compiled once, and on as many as are timed
            where the steps depend on it, as in the perceptron with batch-norm.
    """

    on_cpu: bool
    cnn: Sequence[int]
    mlp: Sequence[int]
    regularised: Sequence[int]
    sequences: Sequence[int]
    language: Sequence[tuple[_Language, _Language]]
    batch: int
    few_rows: int
    epochs: Sequence[int]
    borrowed: int
    rules: Sequence[RuleProblem]
    proved_on: int


ON_CPU = Sizes(
    on_cpu=True, cnn=(32, 128), mlp=(32, 128), regularised=(64, 256, 1024), sequences=(128,),
    language=(
        (_SMALL_LANGUAGE, _SMALL_LANGUAGE),
        ((8192, 256, 4, 8, (8, 256)), (4096, 96, 2, 24, (16, 64))),
    ),
    batch=128, few_rows=640, epochs=(12_800, 60_000), borrowed=64, rules=RULES, proved_on=80,
)  # fmt: skip
ELSEWHERE = Sizes(
    on_cpu=False, cnn=(4096,), mlp=(4096,), regularised=(8192,), sequences=(4096,),
    language=(((32_768, 1024, 4, 16, (8, 1024)), (64, 32, 4, 16, (2, 8))),),
    batch=4096, few_rows=40_960, epochs=(60_000,), borrowed=4096, rules=LARGE, proved_on=32,
)  # fmt: skip


def subjects(
    only: str = "", *, smallest: bool = False, seed: int = 0, sizes: Sizes = ON_CPU
) -> list[Subject]:
    """Lists the subjects to time: on a CPU the models first, elsewhere the rules.

    An accelerator's models take long to compile, and a run may be stopped before them.

    Args:
        only: take subjects whose name contains this; all if not given.
        smallest: take only the smallest size of each.
        seed: of the numbers.
        sizes: how large they are.
    """
    found: dict[str, list[Subject]] = {}
    models = [
        *_models(seed, sizes),
        *_trainings(seed, sizes),
        *_sequence_models(seed, sizes),
        *(_small_models(seed) if sizes.on_cpu else ()),
        *_user_models(seed, sizes),
    ]
    of_rules = rule_subjects(sizes.rules, seed)
    for subject in models + of_rules if sizes.on_cpu else of_rules + models:
        if only in subject.name:
            found.setdefault(subject.name, []).append(subject)
    if smallest:
        return [_without_same_forward(sizes[0]) for sizes in found.values()]
    return [subject for sizes in found.values() for subject in sizes]


def _without_same_forward(subject: Subject) -> Subject:
    engines = {n: e for n, e in subject.engines.items() if n != "autodiff_same_forward"}
    return subject._replace(engines=engines)


def _models(seed: int, sizes: Sizes) -> list[Subject]:
    mlp = problems.mlp((784, 512, 512, 10), "relu", _CLASSES)
    regularised = problems.regularised_mlp((128, 256, 128, 64, 1), _BINARY)
    cnn = problems.cnn((28, 28, 1), (16, 32), 10, _CLASSES)
    few = sizes.proved_on
    mlp_others = foreign.torch_models(torch_engine.mlp_loss_and_grad, mlp, few)
    cnn_others = foreign.torch_models(torch_engine.cnn_loss_and_grad, cnn, few)
    if sizes.on_cpu:  # engines are compared on one device
        mlp_others["numpy"] = foreign.numpy_mlp
    return [
        *_model(cnn, sizes.cnn, seed, cnn_others, (cnn, few)),
        *_model(mlp, sizes.mlp, seed, mlp_others, (mlp, few)),
        *_model(regularised, sizes.regularised, seed, {}, (regularised, max(sizes.regularised))),
    ]


_IMAGES = 111
"""Of so many a CPU takes attention in blocks, and rows in blocks that leave a few, as of 128."""

_FEW_IMAGES = 4
"""Enough for what takes no blocks. The less is rounded, the fewer draws tell whether it agrees."""


def _sequence_models(seed: int, sizes: Sizes) -> list[Subject]:
    """Returns the recurrent classifiers of MNIST's rows, and the transformers."""
    lstm, gru = (problems.recurrent(cell, (28, 28), 128, 10, _CLASSES) for cell in ("lstm", "gru"))
    images = problems.transformer((28, 28), 64, 3, 10, _CLASSES)
    lower = problems.transformer((28, 28), 64, 2, 10, _CLASSES)
    few = sizes.proved_on
    cells = partial(torch_sequences.recurrent_loss_and_grad, cell="lstm")
    blocks = partial(torch_sequences.transformer_loss_and_grad, heads=4)
    by_torch = (
        foreign.torch_models(cells, lstm, few),
        foreign.torch_models(blocks, lower, _FEW_IMAGES),
    )
    return [
        *_model(lstm, sizes.sequences, seed, by_torch[0], (lstm, few)),
        *_model(gru, sizes.sequences, seed, {}, (gru, few)),
        *_model(images, sizes.sequences, seed, by_torch[1], (lower, _IMAGES)),
        *(_language_model(*sizes, seed) for sizes in sizes.language),
    ]


def _small_models(seed: int) -> list[Subject]:
    """Returns networks small enough for the scalar engine: that of XOR, and two of few pixels."""
    small = [
        (problems.mlp((2, 4, 1), "leaky_relu", _BINARY), 4, "leaky_relu", _BINARY),
        (problems.mlp((49, 4, 10), "relu", _CLASSES), 8, "relu", _CLASSES),
        (problems.mlp((49, 32, 10), "relu", _CLASSES), 8, "relu", _CLASSES),
    ]
    return [
        subject
        for model, batch, activation, loss in small
        for subject in _model(
            model, [batch], seed, foreign.scalars(activation, loss), (model, batch)
        )
    ]


def _language_model(size: _Language, proved_size: _Language, seed: int) -> Subject:
    """Returns one step of a causal transformer of tokens, proved on one of another size."""
    vocabulary, _, _, heads, tokens = size
    *_, proved_heads, _ = proved_size
    model = problems.language_model(*size)
    proved = model if size == proved_size else problems.language_model(*proved_size)
    steps = partial(torch_sequences.transformer_loss_and_grad, causal=True)
    return Subject(
        name="transformer of tokens",
        batch=f"{tokens[0]}×{tokens[1]} of {vocabulary}",
        prove=lambda: check_gradients(proved.manual, proved.loss, *proved.draw(seed), seed=seed),
        engines={
            **programs.engines(
                lambda: gradients_asked(model.manual, model.loss, *model.draw(seed))
            ),
            **foreign.torch_language_model(steps, (model, heads), (proved, proved_heads), seed),
        },
    )


_LEARNING_RATE = 1e-3


def _trainings(seed: int, sizes: Sizes) -> list[Subject]:
    mlp = problems.mlp((784, 512, 10), "relu", _CLASSES)
    cnn = problems.cnn((28, 28, 1), (16, 32), 10, _CLASSES)
    mlp_others = foreign.torch_training(sizes.batch, _LEARNING_RATE)
    return [
        *_training(mlp, sizes, sizes.epochs, seed, mlp_others),
        *_training(cnn, sizes, [sizes.few_rows], seed, {}),
    ]


def _training(
    model: problems.Model,
    sizes: Sizes,
    epochs: Sequence[int],
    seed: int,
    others: dict[str, foreign.Foreign],
) -> list[Subject]:
    """Returns an epoch of Adam in shuffled batches, for each number of rows; one step is proved."""

    def point(rows: int) -> Any:
        return model.draw_point(seed, rows)

    def prepare(loss_and_grad: Callable[..., Any], rows: int) -> Prepared:
        params, state, data, key = point(rows)
        optimizer = optax.adam(_LEARNING_RATE)
        epoch = make_epoch(loss_and_grad, optimizer, sizes.batch)
        return compiled(epoch, init_state(params, state, optimizer, key), *data)

    prove = _proof(model, min(sizes.batch, sizes.proved_on), seed)
    by_jax = jax.value_and_grad(model.loss, has_aux=True)
    return [
        Subject(
            name=f"training {model.name} {model.settings}",
            batch=f"{sizes.batch} of {rows}",
            prove=prove,
            engines={
                "manual": partial(prepare, model.manual, rows),
                "autodiff": partial(prepare, by_jax, rows),
                **foreign.of_point(others, model, partial(point, rows), seed),
            },
        )
        for rows in epochs
    ]


def _user_models(seed: int, sizes: Sizes) -> list[Subject]:
    """Returns `jax.grad` of a user's CNN with our max_pool: of a batch, and of each example."""
    cnn = problems.cnn((28, 28, 1), (16, 32), 10, _CLASSES)
    ours, theirs = (jax.value_and_grad(loss) for loss in user_cnn_losses())

    def point(examples: int = sizes.borrowed) -> Any:
        params, _, batch, _ = cnn.draw_point(seed, examples)
        return params, batch

    def few() -> Any:
        return point(min(sizes.borrowed, 2 * sizes.proved_on))

    def of_each(gradient: Callable[..., Any], params: Any, batch: Any) -> Any:
        x, labels = batch
        one = jax.vmap(lambda x, label: gradient(params, (x[None], label[None])))
        return one(x, labels)

    @cache
    def prove() -> GradientReport:
        return check_gradients(ours, user_cnn_losses()[1], *few(), seed=seed)

    def subject(size: str, engines: dict[str, Callable[[], Prepared]]) -> Subject:
        return Subject("jax.grad of a CNN with our max_pool", size, prove, engines)

    size = str(sizes.borrowed)
    return [
        subject(
            size,
            programs.engines(lambda: gradients_asked(ours, user_cnn_losses()[1], *point())),
        ),
        subject(
            f"{size} by vmap",
            {
                "manual": lambda: compiled(partial(of_each, ours), *point()),
                "autodiff": lambda: compiled(partial(of_each, theirs), *point()),
            },
        ),
    ]


def _model(
    model: problems.Model,
    batches: Sequence[int],
    seed: int,
    others: dict[str, foreign.Foreign],
    proved: tuple[problems.Model, int],
) -> list[Subject]:
    """Returns the loss and gradient of one step, of each batch; proved once for each size of proof.

    Args:
        model: what is timed.
        batches: its numbers of examples.
        seed: of the numbers.
        others: further engines.
        proved: a model that does the same, and on how many examples it is proved at most.
    """

    def point(batch: int) -> Any:
        return model.draw_point(seed, batch)

    def forward(*args: Any) -> Any:
        return model.manual(*args)[0]

    def ask(loss: Callable[..., Any], batch: int) -> Question:
        return gradients_asked(model.manual, loss, *point(batch), has_aux=True)

    def same_forward(batch: int) -> Prepared:
        return programs.engine(ask(forward, batch), "autodiff")

    of, most = proved
    proofs = {few: _proof(of, few, seed) for few in {min(batch, most) for batch in batches}}
    return [
        Subject(
            name=f"{model.name} {model.settings}",
            batch=str(batch),
            prove=proofs[min(batch, most)],
            engines={
                **programs.engines(partial(ask, model.loss, batch)),
                "autodiff_same_forward": partial(same_forward, batch),
                **foreign.of_point(others, model, partial(point, batch), seed),
            },
            derivations=model.derivations,
            parameters=_parameters(model),
        )
        for batch in batches
    ]


def _proof(model: problems.Model, examples: int, seed: int) -> Prove:
    """Returns the proof on so many examples, which is made once."""

    @cache
    def prove() -> GradientReport:
        point = model.draw_point(seed, examples)
        return check_gradients(model.manual, model.loss, *point, has_aux=True, seed=seed)

    return prove


def _parameters(model: problems.Model) -> int:
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))
