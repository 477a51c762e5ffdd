"""Measures gradients that vanish or explode on their way back, and units that die."""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.datasets import Dataset, mnist
from compare.json_ready import json_ready
from compare.problems import ENGINES, DatasetName, mlp

__all__ = ["dead_relus", "digits", "learning_rates", "norms"]

INITIALIZERS = {
    "zero": "zeros", "small normal": "small_normal", "Xavier": "glorot_normal", "He": "he_normal",
}  # fmt: skip
ACTIVATIONS = ("sigmoid", "tanh", "relu")
DEPTHS = (3, 10, 30)
"""Hidden layers of the networks whose gradients are measured."""
WIDTH, ROWS = 64, 256

RATES = (0.1, 0.5, 0.7, 1.0)
"""Learning rates of the trainings in which units die."""
LOOKS, STEPS_A_LOOK, BATCH = 40, 10, 64

_LOSS = "softmax_cross_entropy_with_integer_labels"


def digits(
    data_dir: str | os.PathLike[str] | None = None, dataset: DatasetName | None = None
) -> Dataset:
    """Loads MNIST, or its subset where it cannot be had.

    Raises:
        DataError: the data are missing or invalid.
    """
    return mnist.load(data_dir, dataset)


def norms(data: Dataset, seed: int, depths: Sequence[int] = DEPTHS) -> list[dict[str, Any]]:
    """Measures the norm of ∂L/∂w of every layer before the first step, derived by hand, in float64.

    Returns:
        A dict for each initialisation, activation and depth: their names, `norms` from the first
        layer to the last, and `first_over_last`, None where the last is 0.
    """
    results = []
    with jax.enable_x64(True):
        x = jnp.asarray(data.x_train[:ROWS].reshape(ROWS, -1), jnp.float64)
        batch = x, jnp.asarray(data.y_train[:ROWS])
        for name, initializer in INITIALIZERS.items():
            for activation in ACTIVATIONS:
                for depth in depths:
                    sizes = (x.shape[1], *[WIDTH] * depth, 10)
                    model = mlp(sizes, activation, _LOSS, initializer)
                    key = jax.random.key(seed)
                    params, state = model.init(key)
                    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
                    _, grads = model.manual(params, state, batch, key)
                    found = [float(jnp.linalg.norm(layer["w"])) for layer in grads]
                    ratio = found[0] / found[-1] if found[-1] else None
                    results.append(
                        {
                            "initialisation": name, "activation": activation, "depth": depth,
                            "norms": found, "first_over_last": ratio,
                        }
                    )  # fmt: skip
    return results


def dead_relus(data: Dataset, seed: int, rates: Sequence[float] = RATES) -> list[dict[str, Any]]:
    """Trains 784-64-64-10 with relu by plain descent, and counts the units that have died.

    A unit is dead when it is 0 on each of 1,000 rows: no derivative passes it, it does not learn.

    Returns:
        A dict for each learning rate: `rate`, `steps`, and `dead`, the share at each of them.
    """
    rows = min(1000, len(data.x_train))
    x, y = jnp.asarray(data.x_train.reshape(len(data.x_train), -1)), jnp.asarray(data.y_train)
    model = mlp((x.shape[1], 64, 64, 10), "relu", _LOSS)
    key = jax.random.key(seed)
    params, _ = model.initial(key)
    steps = STEPS_A_LOOK * LOOKS
    order = np.random.default_rng(seed).integers(0, len(x), (LOOKS, STEPS_A_LOOK, BATCH))

    def dead(params: Any) -> jax.Array:
        made = ENGINES["by hand"](params, (x[:rows], y[:rows]), activation="relu", loss=_LOSS)
        return jnp.concatenate([(a == 0).all(axis=0) for a in made.a[:-1]]).mean()

    @jax.jit
    def train(rate: Any) -> jax.Array:
        def step(params: Any, batch: Any) -> tuple[Any, None]:
            _, grads = model.manual(params, (), (x[batch], y[batch]), key)
            return jax.tree.map(lambda p, g: p - rate * g, params, grads), None

        def look(params: Any, batches: Any) -> tuple[Any, jax.Array]:
            share = dead(params)
            return jax.lax.scan(step, params, batches)[0], share

        last, shares = jax.lax.scan(look, params, jnp.asarray(order))
        return jnp.append(shares, dead(last))

    at = list(range(0, steps + 1, STEPS_A_LOOK))
    return json_ready([{"rate": rate, "steps": at, "dead": train(rate)} for rate in rates])


def learning_rates(data: Dataset, seed: int, steps: int = 150) -> list[dict[str, Any]]:
    """Raises the rate of plain descent step by step, and looks at the loss (Smith 2017).

    The network is 784-128-64-10 with relu, its rate grows from 1e-4 to 10.

    Returns:
        One dict: `rates` and `losses` of each step, on a new batch; `smooth`, an average in which a
        step counts for 0.9 of the next, up to where it is four times its least; `steepest`, the
        rate where it falls fastest, and `least`, where it is least.
    """
    x, y = jnp.asarray(data.x_train.reshape(len(data.x_train), -1)), jnp.asarray(data.y_train)
    model = mlp((x.shape[1], 128, 64, 10), "relu", _LOSS)
    key = jax.random.key(seed)
    params, _ = model.initial(key)
    rates = np.geomspace(1e-4, 10, steps)
    order = np.random.default_rng(seed).integers(0, len(x), (steps, BATCH))

    def step(params: Any, now: Any) -> tuple[Any, jax.Array]:
        rate, batch = now
        (loss, _), grads = model.manual(params, (), (x[batch], y[batch]), key)
        return jax.tree.map(lambda p, g: p - rate * g, params, grads), loss

    train = jax.jit(lambda p, *now: jax.lax.scan(step, p, now)[1])
    losses = np.asarray(train(params, jnp.asarray(rates, jnp.float32), order), np.float64)
    smooth = _smoothed(losses)
    worse = np.flatnonzero(~(smooth <= 4 * np.fmin.accumulate(smooth)))
    end = worse[0] if len(worse) else steps
    slope = np.gradient(smooth[:end], np.log10(rates[:end]))
    found = {
        "rates": rates[:end], "losses": losses[:end], "smooth": smooth[:end],
        "steepest": rates[np.argmin(slope)], "least": rates[np.argmin(smooth[:end])],
    }  # fmt: skip
    return json_ready([found])


def _smoothed(losses: np.ndarray, keep: float = 0.9) -> np.ndarray:
    """Averages over the steps so far, each counting for `keep` of the next (steps,) -> (steps,)."""
    total, weight, smooth = 0.0, 0.0, []
    for loss in losses:
        total, weight = keep * total + (1 - keep) * loss, keep * weight + (1 - keep)
        smooth.append(total / weight)
    return np.array(smooth)
