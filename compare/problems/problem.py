"""Problems: one model on one batch of data, and how a model is trained."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from compare.datasets import Dataset
from compare.problems.model import Model

__all__ = ["DatasetName", "Definition", "Problem", "Recipe"]

DatasetName = Literal["mnist", "mnist5k"]


class Recipe(NamedTuple):
    """How a model is trained.

    Attributes:
        epochs: passes over the data.
        batch: rows of a step.
        optimizer: its name.
        learning_rate: the highest rate of the schedule.
        schedule: its name.
        clip: the largest global norm of a gradient; None does not clip.
        weight_decay: None for the optimizer's default.
    """

    epochs: int
    batch: int
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    clip: float | None = None
    weight_decay: float | None = None


class Definition(NamedTuple):
    """The definition of a problem: its data, its models, and how each is trained.

    Attributes:
        data: `data(seed, data_dir, dataset) -> Dataset`.
        trained: each model with its recipe, the plainest first.
        picture: (height, width) of a row that is a picture; None if rows are not pictures.
    """

    data: Callable[[int, str | os.PathLike[str] | None, DatasetName | None], Dataset]
    trained: Sequence[tuple[Model, Recipe]]
    picture: tuple[int, int] | None = None

    @property
    def models(self) -> tuple[Model, ...]:
        """Returns the models, the plainest first."""
        return tuple(model for model, _ in self.trained)

    @property
    def recipes(self) -> Mapping[str, Recipe]:
        """Returns the default recipe of each model, by the model's name."""
        return {model.name: recipe for model, recipe in self.trained}


class Problem(NamedTuple):
    """One model on one batch of data.

    Attributes:
        name: one of `PROBLEMS`, such as `xor` or `mnist`.
        model: the model on both sides.
        data: all of the data, its rows in the shape that the model takes. `data.name` is `mnist5k`
            if only the subset of MNIST could be had.
        params: the parameters, float32.
        state: the state of the model: running statistics, or ().
        batch: (x, targets), rows are examples.
        key: of the model's random masks.
        picture: (height, width) of a row that is a picture; None if rows are not pictures.
    """

    name: str
    model: Model
    data: Dataset
    params: Any
    state: Any
    batch: tuple[np.ndarray, np.ndarray]
    key: jax.Array
    picture: tuple[int, int] | None = None
