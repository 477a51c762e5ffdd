"""Lists every problem, one entry each, and loads it by its name."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from compare.datasets import Dataset, classification, mnist, parity, xor
from compare.problems.model import Model
from compare.problems.models.cnn import cnn
from compare.problems.models.mlp import mlp
from compare.problems.models.recurrent import recurrent
from compare.problems.models.regularised_mlp import regularised_mlp
from compare.problems.models.transformer import transformer
from compare.problems.problem import DatasetName, Definition, Problem, Recipe

__all__ = ["PROBLEMS", "ModelName", "ProblemName", "choose", "load"]

_BINARY = "sigmoid_binary_cross_entropy"
_CLASSES = "softmax_cross_entropy_with_integer_labels"

PROBLEMS: dict[str, Definition] = {
    "xor": Definition(
        data=lambda seed, data_dir, dataset: xor.load(),
        trained=[
            (
                mlp((2, 4, 1), "leaky_relu", _BINARY),
                Recipe(epochs=1000, batch=4, learning_rate=1e-2),
            ),
        ],
    ),
    "mnist": Definition(
        data=lambda seed, data_dir, dataset: mnist.load(data_dir, dataset),
        trained=[
            (
                mlp((784, 128, 64, 10), "relu", _CLASSES),
                Recipe(
                    epochs=8,
                    batch=128,
                    optimizer="adamw",
                    learning_rate=4e-3,
                    schedule="warmup-cosine",
                    weight_decay=0.2,
                ),
            ),
            (
                regularised_mlp((784, 256, 128, 64, 10), _CLASSES),
                Recipe(epochs=8, batch=128, schedule="cosine"),
            ),
            (
                cnn((28, 28, 1), (16, 32), 10, _CLASSES),
                Recipe(
                    epochs=5,
                    batch=64,
                    optimizer="adamw",
                    learning_rate=4e-3,
                    schedule="warmup-cosine",
                    weight_decay=0.05,
                ),
            ),
        ],
        picture=(28, 28),
    ),
    "classification": Definition(
        data=lambda seed, data_dir, dataset: classification.load(seed),
        trained=[
            (
                mlp((10, 8, 4, 1), "sigmoid", _BINARY),
                Recipe(epochs=100, batch=32, learning_rate=1e-2),
            ),
            (
                regularised_mlp((10, 8, 4, 1), _BINARY),
                Recipe(
                    epochs=100,
                    batch=64,
                    optimizer="adamw",
                    schedule="cosine",
                    clip=1.0,
                    weight_decay=1e-4,
                ),
            ),
        ],
    ),
    "parity": Definition(
        data=lambda seed, data_dir, dataset: parity.load(seed),
        trained=[
            (
                recurrent(cell, (16, 1), n, 1, _BINARY),
                Recipe(epochs=30, batch=64, learning_rate=1e-2, schedule="cosine", clip=1.0),
            )
            for cell, n in (("rnn", 16), ("lstm", 8), ("gru", 16))
        ],
    ),
    "mnist-rows": Definition(
        data=lambda seed, data_dir, dataset: mnist.load(data_dir, dataset),
        trained=[
            (
                recurrent(cell, (28, 28), 128, 10, _CLASSES),
                Recipe(
                    epochs=5,
                    batch=128,
                    optimizer="adamw",
                    learning_rate=4e-3,
                    schedule="warmup-cosine",
                    clip=1.0,
                    weight_decay=0.02,
                ),
            )
            for cell in ("rnn", "lstm", "gru")
        ],
        picture=(28, 28),
    ),
    "mnist-patches": Definition(
        data=lambda seed, data_dir, dataset: mnist.load(data_dir, dataset),
        trained=[
            (
                transformer((28, 28), 64, 3, 10, _CLASSES),
                Recipe(
                    epochs=10,
                    batch=128,
                    optimizer="adamw",
                    learning_rate=2e-3,
                    schedule="warmup-cosine",
                    clip=1.0,
                    weight_decay=0.05,
                ),
            ),
        ],
        picture=(28, 28),
    ),
}
"""Every problem, by its name on the command line."""

if TYPE_CHECKING:
    ProblemName = str
    ModelName = str
else:  # The command line offers the names of the entries as choices.
    ProblemName = Literal[tuple(PROBLEMS)]
    ModelName = Literal[tuple(dict.fromkeys(m.name for p in PROBLEMS.values() for m in p.models))]


def load(
    name: str,
    *,
    model: str | None = None,
    hidden: Sequence[int] | None = None,
    batch: int = 64,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: DatasetName | None = None,
    data: Dataset | None = None,
) -> Problem:
    """Loads the problem called `name`, with seeded parameters and a seeded choice of rows.

    Args:
        name: one of PROBLEMS.
        model: the name of one of its models; None for the plainest.
        hidden: the widths of its hidden layers; None for the model's own.
        batch: the number of rows; if the data set has fewer, all of them.
        seed: of the parameters, of the choice of rows and of random masks.
        data_dir: the folder with MNIST's IDX files.
        dataset: forces MNIST or its subset; None for the first that can be had.
        data: the problem's data, if they are loaded already; rows as the data set has them.

    Raises:
        DataError: the data are missing or invalid.
        ValueError: there is no such problem or model, or `batch` or a width is not positive.
    """
    chosen = choose(name, model, hidden)
    if batch < 1:
        raise ValueError(f"batch must be a positive number of rows, got {batch}")
    if data is None:
        data = PROBLEMS[name].data(seed, data_dir, dataset)
    data = _shaped(data, chosen)
    key, mask_key = jax.random.split(jax.random.key(seed))
    params, state = chosen.initial(key)
    order = np.random.default_rng(seed).permutation(len(data.x_train))[:batch]
    rows = data.x_train[order], data.y_train[order]
    return Problem(
        name=name,
        model=chosen,
        data=data,
        params=params,
        state=state,
        batch=rows,
        key=mask_key,
        picture=PROBLEMS[name].picture,
    )


def choose(name: str, model: str | None = None, hidden: Sequence[int] | None = None) -> Model:
    """Finds the model called `model` of the problem called `name`.

    Args:
        name: one of PROBLEMS.
        model: the name of one of its models; None for the plainest.
        hidden: the widths of its hidden layers; None for the model's own.

    Raises:
        ValueError: there is no such problem or model, or a width is not positive.
    """
    if name not in PROBLEMS:
        raise ValueError(f"unknown problem {name!r}; choose from {', '.join(PROBLEMS)}")
    models = {m.name: m for m in PROBLEMS[name].models}
    model = next(iter(models)) if model is None else model
    if model not in models:
        raise ValueError(f"{name} has no model {model!r}; choose from {', '.join(models)}")
    if hidden is None:
        return models[model]
    if min(hidden, default=1) < 1:
        raise ValueError(f"widths must be positive, got {' '.join(map(str, hidden))}")
    return models[model].with_hidden(hidden)


def _shaped(data: Dataset, model: Model) -> Dataset:
    """Gives each row of the data the shape that the model takes."""
    shape = model.example.x.shape
    return data._replace(
        x_train=data.x_train.reshape(-1, *shape), x_test=data.x_test.reshape(-1, *shape)
    )
