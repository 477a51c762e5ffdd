"""Networks small enough to be looked at number by number, with the data they learn."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from compare.datasets import mnist, xor
from compare.problems import DatasetName

__all__ = ["TOYS", "Network", "Toy", "mnist_toy", "xor_toy"]

DIGITS, SIDE = 5, 7
"""How many digits are told apart, and how many pixels an image is wide and high."""


class Network(NamedTuple):
    """One network, and how it is trained: by plain descent on all rows.

    Attributes:
        name: in a few words.
        sizes: of the layers, the input's first.
        activation: of the hidden layers.
        rate: what a step takes off is the rate times the gradient.
        steps: of the whole training.
    """

    name: str
    sizes: tuple[int, ...]
    activation: str
    rate: float
    steps: int


class Toy(NamedTuple):
    """Rows to learn, and the networks that learn them.

    Attributes:
        name: the problem's on the command line.
        dataset: the name of the data.
        x: (rows, inputs) float64.
        targets: (rows, 1) float64 or (rows,) integers, as the loss asks for.
        examples: the name of each row.
        outputs: the name of each output.
        loss: the name of the loss.
        picture: (height, width) of a row that is a picture; None if rows are not pictures.
        networks: the one to be understood first, then one that is ten layers deep.
    """

    name: str
    dataset: str
    x: np.ndarray
    targets: np.ndarray
    examples: tuple[str, ...]
    outputs: tuple[str, ...]
    loss: str
    picture: tuple[int, int] | None
    networks: tuple[Network, ...]


def xor_toy(
    data_dir: str | os.PathLike[str] | None = None, dataset: DatasetName | None = None
) -> Toy:
    """Builds exclusive or; the arguments of the other toys are not used."""
    del data_dir, dataset
    data = xor.load()
    rows = data.x_train.astype(np.float64)
    return Toy(
        name="xor",
        dataset=data.name,
        x=rows,
        targets=data.y_train.astype(np.float64),
        examples=tuple(f"{a:.0f} xor {b:.0f}" for a, b in rows),
        outputs=("1",),
        loss="sigmoid_binary_cross_entropy",
        picture=None,
        networks=(
            Network("2-4-1, leaky ReLU", (2, 4, 1), "leaky_relu", 0.3, 295),
            Network("ten layers of sigmoid", (2, *[4] * 10, 1), "sigmoid", 0.3, 295),
        ),
    )


def mnist_toy(
    data_dir: str | os.PathLike[str] | None = None, dataset: DatasetName | None = None
) -> Toy:
    """Builds five digits of MNIST, the first image of each, as means of 4×4 pixels.

    Raises:
        DataError: the data are missing or invalid.
    """
    data = mnist.load(data_dir, dataset)
    first = [int(np.flatnonzero(data.y_train == digit)[0]) for digit in range(DIGITS)]
    images = data.x_train[first].astype(np.float64).reshape(DIGITS, SIDE, 4, SIDE, 4)
    names = tuple(str(digit) for digit in range(DIGITS))
    return Toy(
        name="mnist",
        dataset=data.name,
        x=images.mean(axis=(2, 4)).reshape(DIGITS, SIDE * SIDE),
        targets=np.arange(DIGITS),
        examples=tuple(f"a {name}" for name in names),
        outputs=names,
        loss="softmax_cross_entropy_with_integer_labels",
        picture=(SIDE, SIDE),
        networks=(
            Network("49-4-5, ReLU", (SIDE * SIDE, 4, DIGITS), "relu", 0.3, 295),
            Network("ten layers of sigmoid", (SIDE * SIDE, *[3] * 10, DIGITS), "sigmoid", 0.3, 295),
        ),
    )


TOYS: dict[str, Callable[..., Any]] = {"xor": xor_toy, "mnist": mnist_toy}
"""What makes each toy, by its name: `make(data_dir, dataset) -> Toy`."""
