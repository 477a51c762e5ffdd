"""Every problem: one entry has its data, its models and how each is trained."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from compare.datasets import Dataset, classification, mnist, xor
from compare.problems.model import Model
from compare.problems.models.cnn import cnn
from compare.problems.models.mlp import mlp
from compare.problems.models.regularised_mlp import regularised_mlp
from compare.problems.problem import DatasetName, Definition, Problem, Recipe

__all__ = ["PROBLEMS", "ModelName", "ProblemName", "choose", "load"]

_BINARY = "sigmoid_binary_cross_entropy"
_CLASSES = "softmax_cross_entropy_with_integer_labels"

PROBLEMS: dict[str, Definition] = {
    "xor": Definition(
        data=lambda seed, data_dir, dataset: xor.load(),
        trained=[
            (mlp((2, 4, 1), "leaky_relu", _BINARY), Recipe(1000, batch=4, learning_rate=1e-2)),
        ],
    ),
    "mnist": Definition(
        data=lambda seed, data_dir, dataset: mnist.load(data_dir, dataset),
        trained=[
            (
                mlp((784, 128, 64, 10), "relu", _CLASSES),
                Recipe(8, 128, "adamw", 4e-3, "warmup-cosine", weight_decay=0.2),
            ),
            (
                regularised_mlp((784, 256, 128, 64, 10), _CLASSES),
                Recipe(8, 128, schedule="cosine"),
            ),
            (
                cnn((28, 28, 1), (16, 32), 10, _CLASSES),
                Recipe(5, 64, "adamw", 4e-3, "warmup-cosine", weight_decay=0.05),
            ),
        ],
        picture=(28, 28),
    ),
    "classification": Definition(
        data=lambda seed, data_dir, dataset: classification.load(seed),
        trained=[
            (mlp((10, 8, 4, 1), "sigmoid", _BINARY), Recipe(100, 32, learning_rate=1e-2)),
            (
                regularised_mlp((10, 8, 4, 1), _BINARY),
                Recipe(100, 64, "adamw", schedule="cosine", clip=1.0, weight_decay=1e-4),
            ),
        ],
    ),
}
"""Every problem, by the name that the command line knows it by."""

if TYPE_CHECKING:
    ProblemName = str
    ModelName = str
else:  # The choices of the command line are the names of the entries.
    ProblemName = Literal[tuple(PROBLEMS)]
    ModelName = Literal[tuple(dict.fromkeys(m.name for p in PROBLEMS.values() for m in p.models))]


def load(
    name: str,
    *,
    model: str = "mlp",
    hidden: Sequence[int] | None = None,
    batch: int = 64,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: DatasetName | None = None,
) -> Problem:
    """Loads the problem called `name`, with seeded parameters and a seeded choice of rows.

    Args:
        name: one of PROBLEMS.
        model: the name of one of its models.
        hidden: the widths of its hidden layers, where not its own.
        batch: how many rows; a data set with fewer gives all it has.
        seed: of the parameters, of the choice and of random masks.
        data_dir: where MNIST's IDX files are.
        dataset: forces MNIST or its subset.

    Raises:
        DataError: the data are missing or invalid.
        ValueError: there is no such problem or model, or `batch` or a width is not positive.
    """
    chosen = choose(name, model, hidden)
    if batch < 1:
        raise ValueError(f"batch must be a positive number of rows, got {batch}")
    data = _shaped(PROBLEMS[name].data(seed, data_dir, dataset), chosen)
    key, mask_key = jax.random.split(jax.random.key(seed))
    params, state = jax.jit(chosen.init)(key)
    order = np.random.default_rng(seed).permutation(len(data.x_train))[:batch]
    rows = data.x_train[order], data.y_train[order]
    return Problem(name, chosen, data, params, state, rows, mask_key, PROBLEMS[name].picture)


def choose(name: str, model: str = "mlp", hidden: Sequence[int] | None = None) -> Model:
    """Finds the model called `model` of the problem called `name`.

    Args:
        name: one of PROBLEMS.
        model: the name of one of its models.
        hidden: the widths of its hidden layers, where not its own.

    Raises:
        ValueError: there is no such problem or model, or a width is not positive.
    """
    if name not in PROBLEMS:
        raise ValueError(f"unknown problem {name!r}; choose from {', '.join(PROBLEMS)}")
    models = {m.name: m for m in PROBLEMS[name].models}
    if model not in models:
        raise ValueError(f"{name} has no model {model!r}; choose from {', '.join(models)}")
    if hidden is None:
        return models[model]
    if min(hidden, default=1) < 1:
        raise ValueError(f"widths must be positive, got {' '.join(map(str, hidden))}")
    return models[model].with_hidden(hidden)


def _shaped(data: Dataset, model: Model) -> Dataset:
    """The data with each row as the model takes it."""
    shape = model.example.x.shape
    return data._replace(
        x_train=data.x_train.reshape(-1, *shape), x_test=data.x_test.reshape(-1, *shape)
    )
