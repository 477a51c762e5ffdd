"""One model on one batch of data."""

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
        learning_rate: the largest.
        schedule: its name.
        clip: the largest global norm of a gradient; None leaves it as it is.
        weight_decay: None for the optimizer's own.
    """

    epochs: int
    batch: int
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    clip: float | None = None
    weight_decay: float | None = None


class Definition(NamedTuple):
    """All that a problem is: its data, its models, and how each is trained.

    Attributes:
        data: `data(seed, data_dir, dataset) -> Dataset`.
        trained: each model with its recipe, the plainest first.
        picture: (height, width) of a row that is a picture; None where rows are none.
    """

    data: Callable[[int, str | os.PathLike[str] | None, DatasetName | None], Dataset]
    trained: Sequence[tuple[Model, Recipe]]
    picture: tuple[int, int] | None = None

    @property
    def models(self) -> tuple[Model, ...]:
        """The models, the plainest first."""
        return tuple(model for model, _ in self.trained)

    @property
    def recipes(self) -> Mapping[str, Recipe]:
        """How each model is trained where nobody says otherwise, by the model's name."""
        return {model.name: recipe for model, recipe in self.trained}


class Problem(NamedTuple):
    """One model on one batch of data.

    Attributes:
        name: `xor`, `mnist` or `classification`.
        model: the model on both sides.
        data: all of the data, as the model takes it; `data.name` is `mnist5k` where it is that.
        params: the parameters, float32.
        state: of the model: running statistics, or ().
        batch: (x, targets), rows are examples.
        key: of the model's random masks.
        picture: (height, width) of a row that is a picture; None where rows are none.
    """

    name: str
    model: Model
    data: Dataset
    params: Any
    state: Any
    batch: tuple[np.ndarray, np.ndarray]
    key: jax.Array
    picture: tuple[int, int] | None = None
