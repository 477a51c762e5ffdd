"""A recurrent classifier of sequences in the idiom of jax.nn, differentiated by `jax.grad`.

One rnn, lstm or gru, and a dense layer on the last state. Sequences are (batch, time, features).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from autodiff import sequences
from autodiff.functions import INITIALIZERS, LOSSES, choose
from autodiff.layers import dense

__all__ = ["CELLS", "Params", "init", "loss", "loss_and_grad", "predict"]

Params = dict[str, dict[str, jax.Array]]
Batch = tuple[jax.Array, jax.Array]

CELLS: dict[str, Callable[..., Any]] = {
    "gru": partial(sequences.gru, reset_after=True),
    "lstm": sequences.lstm,
    "rnn": sequences.rnn,
}
"""The recurrent layers, by their names; gru is the variant of cuDNN."""


def init(
    key: jax.Array,
    n_in: int,
    n: int,
    n_out: int,
    *,
    cell: str = "lstm",
    initializer: str = "glorot_uniform",
    dtype: Any = jnp.float32,
) -> Params:
    """Draws the parameters; the arguments and the result are those of `manual.recurrent.init`.

    Raises:
        ValueError: if a size is not positive, or there is no such cell or initializer.
    """
    choose("cell", CELLS, cell)
    if n_in < 1 or n < 1 or n_out < 1:
        raise ValueError(f"sizes must be positive, got {(n_in, n, n_out)}")
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    weights = choose("initializer", INITIALIZERS, initializer)
    *keys, last = jax.random.split(key, 2 * gates + 1)
    w_x = jnp.hstack([weights(k, (n_in, n), dtype) for k in keys[::2]])
    w_h = jnp.hstack([weights(k, (n, n), dtype) for k in keys[1::2]])
    biases = [jnp.zeros(n, dtype) for _ in range(gates)]
    if cell == "lstm":
        biases[1] = jnp.ones(n, dtype)
    own = {"w_x": w_x, "w_h": w_h, "b": jnp.hstack(biases)}
    if cell == "gru":
        own["b_n"] = jnp.zeros(n, dtype)
    return {
        "cell": own,
        "out": {"w": weights(last, (n, n_out), dtype), "b": jnp.zeros(n_out, dtype)},
    }


def predict(params: Params, x: jax.Array, *, cell: str = "lstm") -> jax.Array:
    """Computes the logits: x (batch, time, n_in) -> (batch, n_out).

    Raises:
        ValueError: if there is no such cell.
    """
    run, own = choose("cell", CELLS, cell), params["cell"]
    zero = jnp.zeros((len(x), own["w_h"].shape[0]), x.dtype)
    states = {"h0": zero, "c0": zero} if cell == "lstm" else {"h0": zero}
    last = run(x, **states, **own)[1]
    return dense(last, **params["out"])


def loss(
    params: Params,
    batch: Batch,
    *,
    cell: str = "lstm",
    loss: str | Callable[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """Computes the loss of the logits of batch = (x, targets), a scalar.

    Args:
        params: as `init` makes them.
        batch: x (batch, time, n_in) and the targets that the loss asks for.
        cell: `rnn`, `lstm` or `gru`.
        loss: the name of a loss, or a function of (logits, targets).

    Raises:
        ValueError: if there is no such cell or loss.
        AssertionError: if the targets do not fit the logits.
    """
    x, targets = batch
    return choose("loss", LOSSES, loss)(predict(params, x, cell=cell), targets)


loss_and_grad = jax.value_and_grad(loss)
