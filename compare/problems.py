"""What is compared with what: a data set, a model on both sides, and its parameters.

The only file that imports both `manual` and `autodiff`.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from autodiff import mlp as autodiff_mlp
from compare.datasets import Dataset, classification, mnist, xor
from manual import mlp as manual_mlp

__all__ = ["PROBLEMS", "DatasetName", "Problem", "ProblemName", "load"]

ProblemName = Literal["xor", "mnist", "classification"]
DatasetName = Literal["mnist", "mnist5k"]


class Problem(NamedTuple):
    """One model on one batch of data.

    Attributes:
        name: `xor`, `mnist` or `classification`.
        model: `mlp`.
        settings: the model in words: sizes and activation.
        dataset: the name of the data: `mnist5k` is never called `mnist`.
        note: what a reader must know of the data; empty if nothing.
        params: the parameters, float32.
        batch: (x, targets), rows are examples.
        manual: `manual(params, batch) -> (loss, grads)`, derived by hand.
        loss: `loss(params, batch)`, for `jax.grad`.
    """

    name: str
    model: str
    settings: str
    dataset: str
    note: str
    params: Any
    batch: tuple[np.ndarray, np.ndarray]
    manual: Callable[..., Any]
    loss: Callable[..., Any]


class _Setting(NamedTuple):
    sizes: tuple[int, ...]
    activation: str
    loss: str


PROBLEMS: dict[str, _Setting] = {
    "xor": _Setting((2, 4, 1), "leaky_relu", "sigmoid_binary_cross_entropy"),
    "mnist": _Setting((784, 128, 64, 10), "relu", "softmax_cross_entropy_with_integer_labels"),
    "classification": _Setting((10, 8, 4, 1), "sigmoid", "sigmoid_binary_cross_entropy"),
}


def load(
    name: str,
    *,
    batch: int = 64,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: DatasetName | None = None,
) -> Problem:
    """The problem called `name`, with seeded parameters and a seeded choice of training rows.

    Args:
        name: one of PROBLEMS.
        batch: how many rows; a data set with fewer gives all it has.
        seed: of the parameters and of the choice.
        data_dir: where MNIST's IDX files are.
        dataset: forces MNIST or its subset.

    Raises:
        DataError: the data are missing or invalid.
        ValueError: there is no such problem, or `batch` is not positive.
    """
    if name not in PROBLEMS:
        raise ValueError(f"unknown problem {name!r}; choose from {', '.join(PROBLEMS)}")
    if batch < 1:
        raise ValueError(f"batch must be a positive number of rows, got {batch}")
    sizes, activation, loss = PROBLEMS[name]
    data = _data(name, seed, data_dir, dataset)
    settings = {"activation": activation, "loss": loss}
    return Problem(
        name=name,
        model="mlp",
        settings=f"{'-'.join(map(str, sizes))} {activation}",
        dataset=data.name,
        note=data.note,
        params=jax.jit(manual_mlp.init, static_argnums=1)(jax.random.key(seed), sizes),
        batch=_rows(data, batch, seed),
        manual=partial(manual_mlp.loss_and_grad, **settings),
        loss=partial(autodiff_mlp.loss, **settings),
    )


def _data(
    name: str, seed: int, data_dir: str | os.PathLike[str] | None, dataset: DatasetName | None
) -> Dataset:
    if name == "xor":
        return xor.load()
    if name == "classification":
        return classification.load(seed)
    return mnist.load(data_dir, dataset)


def _rows(data: Dataset, batch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(data.x_train))[:batch]
    return data.x_train[order], data.y_train[order]
