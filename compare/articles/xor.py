"""The article `xor`: 2-4-1, LeakyReLU(0.01), sigmoid, cross-entropy, 5,000 epochs at lr 0.1."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.articles import losses
from compare.articles.claim import Claim, Options
from compare.articles.descent import Method, descend, layers
from compare.datasets import xor
from compare.problems import Model, mlp
from compare.training.steps import TrainState

__all__ = ["Setup", "claims", "initial", "prepare"]

RATE, EPOCHS, SEEDS, SEED = 0.1, 5000, 50, 42
SETTINGS = "2-4-1 leaky_relu, lr 0.1, 5000 epochs"
_PUBLISHED = (0.0312, 0.9671, 0.9669, 0.0381)
_BINARY = "sigmoid_binary_cross_entropy"


class Setup(NamedTuple):
    """What both methods start from.

    Attributes:
        batch: the four rows.
        networks: initial parameters of 2-4-1, stacked over the seeds.
        perceptrons: initial parameters of 2-1, stacked over the seeds.
        epochs: the number of epochs of each training.
    """

    batch: tuple[np.ndarray, np.ndarray]
    networks: Any
    perceptrons: Any
    epochs: int = EPOCHS


def initial(seed: int, *sizes: int) -> list[dict[str, jax.Array]]:
    """Draws parameters as the article does: `default_rng(seed)` normals × 0.1, and zero biases."""
    rng = np.random.default_rng(seed)
    shapes = pairwise(sizes)
    return layers(*(0.1 * rng.standard_normal(shape) for shape in shapes))


def prepare(options: Options) -> Setup:
    """Loads the rows, and draws the initial parameters of every seed."""
    data = xor.load()

    def drawn(*sizes: int) -> Any:
        return jax.tree.map(lambda *p: jnp.stack(p), *(initial(s, *sizes) for s in range(SEEDS)))

    return Setup(
        batch=(data.x_train, data.y_train), networks=drawn(2, 4, 1), perceptrons=drawn(2, 1)
    )


def claims(setup: Setup, method: Method) -> Iterator[Claim]:
    """Measures every claim of the article, by one method."""
    network = mlp((2, 4, 1), "leaky_relu", _BINARY)
    params, loss, right = _train(setup, network, method, setup.networks)
    outputs = jax.nn.sigmoid(
        network.predict(jax.tree.map(lambda p: p[SEED], params), (), setup.batch[0])
    )
    yield _perceptron(setup, method)
    yield from _solved(outputs[:, 0], float(loss[SEED, -1]), right[SEED])
    yield _seeds(right[:, -1] == 4)
    yield _losses(setup, method, right[SEED])
    yield _softmax(method)


def _train(setup: Setup, model: Model, method: Method, params: Any) -> tuple[Any, Any, Any]:
    """Trains from every seed; returns parameters, losses and counts of right rows by epoch."""

    def watch(state: TrainState) -> jax.Array:
        logits = model.predict(state.params, (), setup.batch[0])
        return ((logits > 0) == (setup.batch[1] > 0.5)).sum()

    run = partial(descend, method(model), steps=setup.epochs, watch=watch)
    trained, (loss, right) = jax.vmap(lambda p: run(p, setup.batch, RATE))(params)
    return trained, np.asarray(loss), np.asarray(right)


def _perceptron(setup: Setup, method: Method) -> Claim:
    model = mlp((2, 1), "identity", _BINARY)
    _, loss, right = _train(setup, model, method, setup.perceptrons)
    most = int(right.max())
    return Claim(
        "a single perceptron cannot solve XOR",
        "never",
        f"at most {most} of 4 right, {SEEDS} seeds; loss {loss[:, -1].min():.4f}",
        most < 4,
        {"most_right": most, "loss": loss[SEED, -1], "log_2": float(np.log(2))},
        SETTINGS.replace("2-4-1 leaky_relu", "2-1"),
    )


def _solved(outputs: jax.Array, loss: float, right: np.ndarray) -> Iterator[Claim]:
    shown = ", ".join(f"{a:.4f}" for a in outputs)
    values = {"outputs": outputs, "loss": loss, "right": right[-1]}
    settings = f"{SETTINGS}, default_rng({SEED})"
    claim = "2-4-1 solves XOR"
    yield Claim(claim, "solved", f"{right[-1]} of 4 right", bool(right[-1] == 4), values, settings)
    # The article prints four digits, so half a unit of the fourth is allowed.
    same = bool(np.all(np.abs(np.asarray(outputs) - _PUBLISHED) <= 0.5e-4))
    yield Claim(
        "its outputs",
        ", ".join(map(str, _PUBLISHED)),
        f"{shown}; loss {loss:.4f}",
        same,
        values,
        settings,
    )


def _seeds(solved: np.ndarray) -> Claim:
    count = int(solved.sum())
    return Claim(
        f"seeds 0-{SEEDS - 1} that solve it",
        "43 (in NumPy)",
        str(count),
        count == 43,
        {"solved": count, "seeds": SEEDS, "unsolved": np.flatnonzero(~solved)},
        SETTINGS,
        "the initialisation decides",
    )


def _losses(setup: Setup, method: Method, right: np.ndarray) -> Claim:
    model = mlp((2, 4, 1), "leaky_relu", losses.sigmoid_squared_error)
    *_, right_mse = _train(setup, model, method, setup.networks)
    epochs = [_solved_from(r) for r in (right, right_mse[SEED])]
    cross_entropy, squared = (str(e) if e else f"not in {setup.epochs}" for e in epochs)
    return Claim(
        "MSE is slower than cross-entropy",
        "slower",
        f"solved from epoch {cross_entropy}, with MSE {squared}",
        epochs[0] is not None and (epochs[1] is None or epochs[1] > epochs[0]),
        {"cross_entropy": epochs[0], "mean_squared_error": epochs[1]},
        f"{SETTINGS}, default_rng({SEED})",
    )


def _solved_from(right: np.ndarray) -> int | None:
    """Finds the epoch, from 1, after which all rows stay right; None if one is wrong at the end."""
    wrong = np.flatnonzero(right < 4)
    first = int(wrong[-1]) + 2 if len(wrong) else 1
    return first if first <= len(right) else None


def _softmax(method: Method) -> Claim:
    """Measures softmax as p, from the gradient p − y of cross-entropy by a bias."""
    model = mlp((1, 3), "identity", "softmax_cross_entropy_with_integer_labels")
    params = [{"w": jnp.zeros((1, 3)), "b": jnp.array([2.0, 1.0, 0.1])}]
    batch = jnp.zeros((1, 1)), jnp.zeros(1, jnp.int32)
    _, grads = method(model)(params, (), batch, jax.random.key(0))
    p = np.asarray(grads[0]["b"]) + np.array([1, 0, 0])
    shown = ", ".join(f"{share:.2f}" for share in p)
    claimed = "0.66, 0.24, 0.10"
    return Claim("softmax(2.0, 1.0, 0.1)", claimed, shown, shown == claimed, {"softmax": p})
