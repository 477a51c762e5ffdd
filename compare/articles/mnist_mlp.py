"""The article `mnist-mlp`: a ReLU network with softmax and cross-entropy on MNIST.

The article gives neither widths nor an optimizer: 784-128-64-10, and Adam with a cosine schedule,
are this project's choice.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.articles import losses
from compare.articles.claim import Claim, Options, percent, reaches, standard_error
from compare.articles.descent import Method
from compare.problems import Model, mlp
from compare.training.loop import steps_per_epoch
from compare.training.metrics import class_scores, classes
from compare.training.optimizers import Optimizer, optimizer
from compare.training.steps import init_state, make_epoch

__all__ = ["Setup", "claims", "confused_pairs", "prepare"]

SIZES, BATCH, EPOCHS = (784, 128, 64, 10), 128, 8
WIDE = (784, 512, 256, 10)
"""The widths of the second run: four times as many units, so that the claim holds by a margin that
chaos cannot use up."""
ACCURACY = 0.98
_CLASSES = "softmax_cross_entropy_with_integer_labels"


class Setup(NamedTuple):
    """What both methods start from.

    Attributes:
        train: x and labels to train on.
        validation: x and labels of the twelfth of the training set that is held out.
        params: initial parameters, He's.
        wide: initial parameters of the second run.
        key: the random key of the shuffles.
        epochs: the number of epochs.
        full: whether this is the article's own run, on all of MNIST.
    """

    train: tuple[jax.Array, jax.Array]
    validation: tuple[jax.Array, jax.Array]
    params: Any
    wide: Any
    key: jax.Array
    epochs: int
    full: bool


def prepare(options: Options) -> Setup:
    """Splits MNIST's training set.

    Raises:
        ValueError: no MNIST was given.
    """
    if options.mnist is None:
        raise ValueError("mnist-mlp needs MNIST")
    data = options.mnist
    order = np.random.default_rng(options.seed).permutation(len(data.x_train))
    held_out = len(order) // 12
    train = order[held_out:][:10_000] if options.quick else order[held_out:]

    def rows(chosen: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return jnp.asarray(data.x_train[chosen]), jnp.asarray(data.y_train[chosen])

    key, run_key = jax.random.split(jax.random.key(options.seed))
    params, wide = (mlp(s, "relu", _CLASSES).initial(key)[0] for s in (SIZES, WIDE))
    return Setup(
        train=rows(train),
        validation=rows(order[:held_out]),
        params=params,
        wide=wide,
        key=run_key,
        epochs=2 if options.quick else EPOCHS,
        full=not options.quick and data.name == "mnist",
    )


def claims(setup: Setup, method: Method) -> Iterator[Claim]:
    """Measures every claim of the article, by one method."""
    relu = mlp(SIZES, "relu", _CLASSES)
    steps = steps_per_epoch(len(setup.train[1]), BATCH)
    adam = optimizer("adam", 1e-3, "cosine", epochs=setup.epochs, steps_per_epoch=steps)
    mean_losses, predicted = _train(setup, relu, method, adam, setup.epochs)
    yield _validation_accuracy(setup, SIZES, predicted)
    if setup.full:
        wide = setup._replace(params=setup.wide)
        _, wide_predicted = _train(wide, mlp(WIDE, "relu", _CLASSES), method, adam, setup.epochs)
        yield _validation_accuracy(setup, WIDE, wide_predicted)._replace(published=False)
    yield from _learns(setup, mean_losses, predicted)
    # Plain gradient descent: the claims are about the size of gradients, which Adam divides out.
    sgd = optimizer("sgd", 0.1)
    squared = mlp(SIZES, "relu", losses.softmax_squared_error)
    truth = np.asarray(setup.validation[1])
    _, predicted = _train(setup, relu, method, sgd, 1)
    fast = float((predicted == truth).mean())
    for claim, name, model in (
        ("sigmoid units learn slower than ReLU", "sigmoid", mlp(SIZES, "sigmoid", _CLASSES)),
        ("MSE is slower than cross-entropy", "MSE", squared),
    ):
        _, predicted = _train(setup, model, method, sgd, 1)
        yield _slower(claim, name, float((predicted == truth).mean()), fast, len(truth))


def _train(
    setup: Setup, model: Model, method: Method, chosen: Optimizer, epochs: int
) -> tuple[list[float], np.ndarray]:
    """Trains; returns the mean loss of each epoch, and the predicted validation classes."""
    current = init_state(setup.params, (), chosen.transformation, setup.key)
    epoch = make_epoch(method(model), chosen.transformation, BATCH)
    mean_losses = []
    for _ in range(epochs):
        current, step_losses = epoch(current, *setup.train)
        mean_losses.append(float(step_losses.mean()))
    logits = jax.jit(model.predict)(current.params, current.model_state, setup.validation[0])
    return mean_losses, np.asarray(classes(logits))


def _settings(setup: Setup, sizes: tuple[int, ...]) -> str:
    rows = f"{len(setup.train[1]):,} rows"
    return f"{'-'.join(map(str, sizes))}, {rows}, Adam 1e-3 cosine, {setup.epochs} epochs"


def _validation_accuracy(setup: Setup, sizes: tuple[int, ...], predicted: np.ndarray) -> Claim:
    truth = np.asarray(setup.validation[1])
    rows, accuracy = len(truth), float((predicted == truth).mean())
    return Claim(
        "validation accuracy",
        "about 98%",
        percent(accuracy),
        reaches(accuracy, ACCURACY, rows) if setup.full else None,
        {"accuracy": accuracy, "rows": rows},
        _settings(setup, sizes),
        f"holds within two standard errors of {rows:,} rows; widths and optimizer are our choice",
    )


def _learns(setup: Setup, mean_losses: list[float], predicted: np.ndarray) -> Iterator[Claim]:
    settings = _settings(setup, SIZES)
    falls = all(b < a for a, b in pairwise(mean_losses))
    yield Claim(
        "the loss falls",
        "every epoch",
        f"{mean_losses[0]:.3f} → {mean_losses[-1]:.3f}{'' if falls else ', not every epoch'}",
        falls,
        {"loss": mean_losses},
        settings,
    )
    confusion = class_scores(np.asarray(setup.validation[1]), predicted, 10).confusion
    pairs = confused_pairs(confusion)
    rank = [pair for pair, _ in pairs].index((4, 9)) + 1
    yield Claim(
        "4 and 9 are a typical confusion",
        "typical",
        f"{pairs[rank - 1][1]} rows, rank {rank} of 45 pairs",
        # "Typical" is read as one of the five most frequent pairs, one pair in nine.
        rank <= 5,
        {"confusion": confusion, "rank": rank, "most": pairs[:5]},
        settings,
    )


def confused_pairs(confusion: Any) -> list[tuple[tuple[int, int], int]]:
    """Counts the rows of one class predicted as another, either way, by pair; the most first."""
    counts = {
        (i, j): confusion[i][j] + confusion[j][i] for i, j in combinations(range(len(confusion)), 2)
    }
    return sorted(counts.items(), key=lambda item: -item[1])


def _slower(claim: str, name: str, accuracy: float, fast: float, rows: int) -> Claim:
    error = float(np.hypot(standard_error(accuracy, rows), standard_error(fast, rows)))
    return Claim(
        claim,
        "slower",
        f"after one epoch {percent(accuracy)} against {percent(fast)}",
        # Chance alone makes a difference of two standard errors in one comparison of twenty.
        fast - accuracy > 2 * error,
        {"accuracy": accuracy, "against": fast, "rows": rows},
        f"{name} against ReLU with cross-entropy, SGD lr 0.1",
    )
