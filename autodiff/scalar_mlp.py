"""The multilayer perceptron made of scalars, differentiated by the engine of `autodiff.scalar`.

Parameters are those of `autodiff.mlp` as plain lists: w is n_in lists of n_out numbers, b a list of
n_out. The four names are those of every model.
"""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from autodiff.functions import choose
from autodiff.scalar import Value

__all__ = ["ACTIVATIONS", "LOSSES", "Layer", "forward", "init", "loss", "loss_and_grad", "predict",
           "values"]  # fmt: skip

Params = list[dict[str, Any]]
Batch = tuple[Sequence[Sequence[float]], Sequence[Any]]


class Layer(NamedTuple):
    """What one layer made of one row: z = a w + b of the layer below, and a = f(z)."""

    z: list[Value]
    a: list[Value]


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda z: z,
    "leaky_relu": Value.leaky_relu,
    "relu": Value.relu,
    "sigmoid": Value.sigmoid,
    "tanh": Value.tanh,
}


def _binary(logits: list[Value], targets: Sequence[float]) -> Value:
    """Returns the mean of ln(1 + eᶻ) − y z over the logits of a row."""
    terms = [z.softplus() - z * y for z, y in zip(logits, targets, strict=True)]
    return sum(terms, Value(0.0)) * (1 / len(terms))


def _classes(logits: list[Value], label: int) -> Value:
    """Returns ln Σ eᶻ − z of the label; the largest z is taken off first, which changes nothing."""
    largest = max(z.data for z in logits)
    total = sum(((z - largest).exp() for z in logits), Value(0.0))
    return total.log() + largest - logits[label]


LOSSES: dict[str, Callable[..., Any]] = {
    "sigmoid_binary_cross_entropy": _binary,
    "softmax_cross_entropy_with_integer_labels": _classes,
}


def init(seed: int, sizes: Sequence[int]) -> Params:
    """Draws normal weights of variance 2 / n_in (He et al. 2015), and zero biases.

    Raises:
        ValueError: there are fewer than two sizes, or one is not positive.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be at least two positive integers, got {tuple(sizes)}")
    normal = random.Random(seed).gauss
    return [
        {
            "w": [[normal(0, (2 / n_in) ** 0.5) for _ in range(n_out)] for _ in range(n_in)],
            "b": [0.0] * n_out,
        }
        for n_in, n_out in pairwise(sizes)
    ]


def values(params: Params) -> Params:
    """Makes a `Value` of each parameter."""
    return [
        {"w": [[Value(w) for w in row] for row in layer["w"]], "b": [Value(b) for b in layer["b"]]}
        for layer in params
    ]


def predict(
    params: Params, x: Sequence[Sequence[float]], *, activation: str = "relu"
) -> list[list[Value]]:
    """Computes the logits: n_out values for each row of x, of parameters that are values.

    Raises:
        ValueError: there is no activation of that name.
    """
    return [_layers(params, row, activation)[-1].a for row in x]


def forward(
    params: Params, batch: Batch, *, activation: str = "relu",
    loss: str = "softmax_cross_entropy_with_integer_labels",
) -> tuple[Value, list[list[Layer]]]:  # fmt: skip
    """Computes the loss, and for each row what each layer made of it.

    Args:
        params: as `values` makes them.
        batch: rows, and the target of each: a list of numbers, or the number of a class.
        activation: the name of an activation of the hidden layers.
        loss: the name of a loss of one row; the result is the mean over the rows.

    Raises:
        ValueError: there is no activation or no loss of that name.
    """
    x, targets = batch
    criterion = choose("loss", LOSSES, loss)
    rows = [_layers(params, row, activation) for row in x]
    losses: list[Any] = [criterion(row[-1].a, y) for row, y in zip(rows, targets, strict=True)]
    return sum(losses, Value(0.0)) * (1 / len(rows)), rows


def loss(params: Params, batch: Batch, **settings: Any) -> Value:
    """Computes the loss alone; the arguments are those of `forward`."""
    return forward(params, batch, **settings)[0]


def loss_and_grad(params: Params, batch: Batch, **settings: Any) -> tuple[float, Params]:
    """Computes the loss and its gradient, in numbers like the parameters.

    Args:
        params: plain numbers.
        batch: as for `forward`.
        **settings: those of `forward`.
    """
    made = values(params)
    total = loss(made, batch, **settings)
    total.backward()
    return total.data, [
        {"w": [[w.grad for w in row] for row in layer["w"]], "b": [b.grad for b in layer["b"]]}
        for layer in made
    ]


def _layers(params: Params, row: Sequence[float], activation: str) -> list[Layer]:
    hidden: Callable[..., Any] = choose("activation", ACTIVATIONS, activation)
    layers: list[Layer] = []
    a: list[Any] = list(row)
    for i, layer in enumerate(params):
        columns = zip(*layer["w"], strict=True)
        z: list[Any] = [
            sum((w * u for w, u in zip(column, a, strict=True)), b)
            for column, b in zip(columns, layer["b"], strict=True)
        ]
        a = z if i == len(params) - 1 else [hidden(each) for each in z]
        layers.append(Layer(z, a))
    return layers
