"""The article `binary-classifier`: 10-8-4-1, all sigmoid, cross-entropy, descent at lr 0.01."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.articles.claim import Claim, Options, percent, reaches
from compare.articles.descent import Method, descend
from compare.articles.signals import delta_norms, drawn
from compare.datasets import Dataset, classification
from compare.problems import mlp
from compare.training.metrics import correct

__all__ = ["Setup", "claims", "prepare", "unit_difference"]

SIZES, STEPS = (10, 8, 4, 1), 1000
RATES = (0.01, 0.1, 1.0, 3.0)
"""The published learning rate, then larger ones, each about ten times the one before."""
LOSS, ACCURACY = 0.15, 0.96
DEEP = (10, *(8,) * 10, 1)
_BINARY = "sigmoid_binary_cross_entropy"


class Setup(NamedTuple):
    """What both methods start from.

    Attributes:
        data: scikit-learn's task, 800 rows to train on and 200 to test.
        params: initial parameters, normals scaled by sqrt(1 / n_prev).
        deep: initial parameters of a network with ten hidden layers of eight units.
        steps: the number of steps of gradient descent.
    """

    data: Dataset
    params: Any
    deep: Any
    steps: int = STEPS


def prepare(options: Options) -> Setup:
    """Draws the task and the parameters."""
    seed = options.seed
    return Setup(
        data=classification.load(seed),
        params=drawn(seed, SIZES, 1.0),
        deep=drawn(seed, DEEP, 1.0),
    )


def claims(setup: Setup, method: Method) -> Iterator[Claim]:
    """Measures every claim of the article, by one method."""
    data = setup.data
    batch, test = (data.x_train, data.y_train), (data.x_test, data.y_test)
    model = mlp(SIZES, "sigmoid", _BINARY)
    gradient = method(model)
    # The article's parameters at every rate, and all zeros at lr 1, as one program.
    starts = [setup.params] * len(RATES) + [jax.tree.map(jnp.zeros_like, setup.params)]
    rates = jnp.array([*RATES, 1.0])
    trained, (loss, _) = jax.vmap(
        lambda params, rate: descend(gradient, params, batch, rate, setup.steps)
    )(jax.tree.map(lambda *p: jnp.stack(p), *starts), rates)
    accuracies = [
        float(correct(model.predict(_at(trained, i), (), test[0]), test[1]).mean())
        for i in range(len(RATES))
    ]
    yield from _learns(np.asarray(loss), accuracies, len(test[1]), setup.steps)
    yield _symmetric(_at(trained, len(RATES)), _at(trained, RATES.index(1.0)))
    yield _vanishing(setup, method, batch)


def _at(stacked: Any, i: int) -> Any:
    return jax.tree.map(lambda p: p[i], stacked)


def _learns(loss: np.ndarray, accuracies: list[float], rows: int, steps: int) -> Iterator[Claim]:
    """Measures the claims at the published rate, and at the smallest other one that keeps them.

    If no rate keeps them, the second one is the rate of the smallest loss.
    """
    last = loss[: len(RATES), -1]
    works = [i for i in range(1, len(RATES)) if last[i] < LOSS and _accurate(accuracies[i], rows)]
    second = works[0] if works else int(np.argmin(last))
    for i in (0, second):
        settings = f"lr {RATES[i]:g}, {steps} steps"
        common = {"settings": settings, "published": i == 0}
        yield Claim(
            "loss below 0.15",
            "0.69 → < 0.15",
            f"{loss[i, 0]:.2f} → {last[i]:.3f}",
            bool(last[i] < LOSS),
            {"loss": loss[i, :: max(1, steps // 50)], "last": last[i], "rate": RATES[i]},
            **common,
        )
        yield Claim(
            "test accuracy",
            percent(ACCURACY, 0),
            percent(accuracies[i]),
            _accurate(accuracies[i], rows),
            {"accuracy": accuracies[i], "rows": rows, "rate": RATES[i]},
            note=f"holds within two standard errors of {rows} rows",
            **common,
        )


def _accurate(accuracy: float, rows: int) -> bool:
    return reaches(accuracy, ACCURACY, rows)


def unit_difference(params: Any) -> float:
    """Measures the largest difference between a hidden unit and the first unit of its layer.

    The numbers of a unit are its incoming weights, its bias and its outgoing weights.
    """
    largest = 0.0
    for layer, following in pairwise(params):
        units = jnp.concatenate([layer["w"], layer["b"][None], following["w"].T])
        largest = max(largest, float(jnp.abs(units - units[:, :1]).max()))
    return largest


def _symmetric(zeros: Any, scaled: Any) -> Claim:
    apart = {"zeros": unit_difference(zeros), "scaled": unit_difference(scaled)}
    return Claim(
        "zero initialisation keeps units identical",
        "identical",
        f"{apart['zeros']:.1e} apart; from normals {apart['scaled']:.1f}",
        # Identical units go through identical operations, so that even their rounding is identical.
        apart["zeros"] == 0 < apart["scaled"],
        {**apart, "layer_1": zeros[0]["w"]},
        f"lr 1, {STEPS} steps",
    )


def _vanishing(setup: Setup, method: Method, batch: Any) -> Claim:
    norms = delta_norms(method(mlp(DEEP, "sigmoid", _BINARY)), setup.deep, batch)
    ratio = float(norms[0] / norms[-1])
    return Claim(
        "deep sigmoid stacks vanish",
        "the first layers' signal is lost",
        f"ten layers leave {ratio:.0e} of it",
        # Below a ten-thousandth, the first layer stands still at a rate that suits the last.
        ratio < 1e-4,
        {"delta_norms": norms, "ratio": ratio},
        "10-[8]×10-1 sigmoid, normals × sqrt(1/n)",
    )
