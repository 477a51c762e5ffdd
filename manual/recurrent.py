"""A recurrent classifier of sequences: rnn, lstm or gru, and a dense layer on the last state.

    h_t = cell(x_t, h_(t−1)),  h_0 = 0,   logits = h_T W + b.

Sequences are (batch, time, features).
"""

from typing import Any

import jax
import jax.numpy as jnp

from manual import initializers
from manual.lookup import lookup
from manual.rules import losses
from manual.rules.dense import dense, dense_bwd, dense_fwd
from manual.rules.recurrent import gru, lstm, rnn
from manual.rules.rule import Rule

__all__ = ["CELLS", "Params", "init", "loss", "loss_and_grad", "predict"]

Params = dict[str, dict[str, jax.Array]]
Batch = tuple[jax.Array, jax.Array]

CELLS: dict[str, Rule[..., Any]] = {
    "gru": gru.bind(reset_after=True),
    "lstm": lstm,
    "rnn": rnn,
}
"""The recurrent layers, by their names; gru is the variant of cuDNN."""

_GATES = {"gru": 3, "lstm": 4, "rnn": 1}


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
    """Draws the parameters.

    Args:
        key: one key.
        n_in: how many features a step has.
        n: how many numbers the state has.
        n_out: how many logits.
        cell: `rnn`, `lstm` or `gru`.
        initializer: of each gate's weights; biases are zero, but for 1 at the forget gate, so that
            a cell remembers to begin with (Jozefowicz et al. 2015, §2.1).
        dtype: of all parameters.

    Returns:
        `{"cell": {"w_x": (n_in, g n), "w_h": (n, g n), "b": (g n,)}, "out": {"w": (n, n_out), "b":
        (n_out,)}}` with g = 1, 4 or 3 gates; gru has `b_n` (n,) too.

    Raises:
        ValueError: if a size is not positive, or there is no such cell or initializer.
    """
    gates = lookup("cell", _GATES, cell)
    if min(n_in, n, n_out) < 1:
        raise ValueError(f"sizes must be positive, got {(n_in, n, n_out)}")
    draw = initializers.by_name(initializer)
    keys = jax.random.split(key, 2 * gates + 1)
    each = [[draw(k, shape, dtype) for k in keys[i:-1:2]] for i, shape in _shapes(n_in, n)]
    own = {
        "w_x": jnp.concatenate(each[0], axis=1),
        "w_h": jnp.concatenate(each[1], axis=1),
        "b": jnp.zeros(gates * n, dtype),
    }
    if cell == "lstm":
        own["b"] = own["b"].at[n : 2 * n].set(1)
    if cell == "gru":
        own["b_n"] = jnp.zeros(n, dtype)
    out = {"w": draw(keys[-1], (n, n_out), dtype), "b": jnp.zeros(n_out, dtype)}
    return {"cell": own, "out": out}


def _shapes(n_in: int, n: int) -> list[tuple[int, tuple[int, int]]]:
    """The first key of w_x's gates and of w_h's, and the shape of a gate's block."""
    return [(0, (n_in, n)), (1, (n, n))]


def _inputs(own: dict[str, jax.Array], x: jax.Array, cell: str) -> list[jax.Array]:
    """What the rule of the cell takes: x, states of zeros, and the weights."""
    zero = jnp.zeros((x.shape[0], own["w_h"].shape[0]), x.dtype)
    states = [zero, zero] if cell == "lstm" else [zero]
    return [x, *states, *(own[name] for name in ("w_x", "w_h", "b", "b_n") if name in own)]


def predict(params: Params, x: jax.Array, *, cell: str = "lstm") -> jax.Array:
    """Computes the logits: x (batch, time, n_in) -> (batch, n_out).

    Raises:
        ValueError: if there is no such cell.
    """
    _, last, *_ = lookup("cell", CELLS, cell)(*_inputs(params["cell"], x, cell))
    return dense(last, params["out"]["w"], params["out"]["b"])


def loss(
    params: Params,
    batch: Batch,
    *,
    cell: str = "lstm",
    loss: str | Rule[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """Computes the loss of the logits of batch = (x, targets), a scalar.

    `jax.grad` of it applies the same rules as `loss_and_grad`, put together by JAX instead of here.

    Args:
        params: as `init` makes them.
        batch: x (batch, time, n_in) and the targets that the loss asks for.
        cell: `rnn`, `lstm` or `gru`.
        loss: the name of a loss, or a rule of (logits, targets).

    Raises:
        ValueError: if there is no such cell or loss.
        AssertionError: if the targets do not fit the logits in shape or dtype.
    """
    x, targets = batch
    return losses.by_name(loss)(predict(params, x, cell=cell), targets)


def loss_and_grad(
    params: Params,
    batch: Batch,
    *,
    cell: str = "lstm",
    loss: str | Rule[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> tuple[jax.Array, Params]:
    """Computes the loss and its gradient with respect to the parameters, by backpropagation.

    The loss sees the last state alone. So dh_T = dlogits Wᵀ is all that enters backpropagation
    through time (`rnn_bwd`, `lstm_bwd`, `gru_bwd`): ∂L/∂(output t) is 0 for every other use of the
    states, and so is ∂L/∂c_T of an lstm.

    The arguments are those of `loss`.

    Returns:
        What `jax.value_and_grad` of `loss` returns: the loss, and a tree like `params`.

    Raises:
        ValueError: if there is no such cell or loss.
        AssertionError: if the targets do not fit the logits in shape or dtype.
    """
    x, targets = batch
    rule, criterion = lookup("cell", CELLS, cell), losses.by_name(loss)
    own, out = params["cell"], params["out"]

    (every, last, *cells), kept = rule.fwd(*_inputs(own, x, cell))
    logits, dense_residuals = dense_fwd(last, out["w"], out["b"])
    value, loss_residuals = criterion.fwd(logits, targets)

    dlogits, _ = criterion.bwd(loss_residuals, jnp.ones_like(value))
    dlast, dw, db = dense_bwd(dense_residuals, dlogits)
    d_out = (jnp.zeros_like(every), dlast, *map(jnp.zeros_like, cells))
    grads = rule.bwd(kept, d_out)
    weights = grads[3 if cell == "lstm" else 2 :]
    names = [name for name in ("w_x", "w_h", "b", "b_n") if name in own]
    return value, {
        "cell": dict(zip(names, weights, strict=False)),
        "out": {"w": dw, "b": db},
    }
