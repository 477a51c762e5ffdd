"""Steps, epochs and evaluations under `jit`, with any gradient and any optax optimizer.

A gradient is `loss_and_grad(params, model_state, batch, key) -> ((loss, model_state), grads)`:
derived by hand, or `jax.value_and_grad(loss, has_aux=True)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from compare.training.devices import replicated, share_rows
from compare.training.metrics import correct, labels

__all__ = [
    "Batch", "LossAndGrad", "TrainState", "epoch_order", "init_state", "make_epoch",
    "make_evaluate", "make_step", "scan_batches", "step_key",
]  # fmt: skip

Batch = tuple[Any, Any]
LossAndGrad = Callable[[Any, Any, Batch, jax.Array], tuple[tuple[jax.Array, Any], Any]]


class TrainState(NamedTuple):
    """Everything that a training changes or draws from; with the data it determines the rest.

    Attributes:
        params: the parameters.
        opt_state: the state of the optimizer.
        model_state: running statistics, or ().
        key: the random key of the whole run; every step and every epoch folds its number in.
        step: the number of steps taken, int32.
    """

    params: Any
    opt_state: Any
    model_state: Any
    key: jax.Array
    step: jax.Array


def init_state(
    params: Any, model_state: Any, optimizer: optax.GradientTransformation, key: jax.Array
) -> TrainState:
    """Returns the state before the first step.

    Args:
        params: the parameters.
        model_state: running statistics, or ().
        optimizer: any of optax's.
        key: the random key of the whole run.
    """
    return TrainState(params, optimizer.init(params), model_state, key, jnp.zeros((), jnp.int32))


def make_step(
    loss_and_grad: LossAndGrad, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]:
    """Makes one step, not compiled: `step(state, batch) -> (state, loss)`."""
    optimizer = optax.with_extra_args_support(optimizer)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
        (loss, model_state), grads = loss_and_grad(
            state.params, state.model_state, batch, step_key(state)
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params, value=loss)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, model_state, state.key, state.step + 1), loss

    return step


def make_epoch(
    loss_and_grad: LossAndGrad,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    mesh: Mesh | None = None,
) -> Callable[[TrainState, Any, Any], tuple[TrainState, jax.Array]]:
    """Makes one pass over the data in shuffled mini-batches, compiled as one program.

    The epoch does not donate its state, which is the last good one if the epoch goes non-finite.

    Args:
        loss_and_grad: the gradient.
        optimizer: any of optax's.
        batch_size: rows of a mini-batch; the last one may have fewer.
        mesh: devices that share each batch; None for one device.

    Returns:
        `epoch(state, x, y) -> (state, losses)`, losses (steps,).
    """
    step = make_step(loss_and_grad, optimizer)

    @jax.jit
    def epoch(state: TrainState, x: Any, y: Any) -> tuple[TrainState, jax.Array]:
        return scan_batches(step, state, epoch_order(state, len(x)), x, y, batch_size, mesh)

    return epoch


def scan_batches(
    step: Callable[[Any, Batch], tuple[Any, Any]],
    carry: Any,
    order: jax.Array,
    x: Any,
    y: Any,
    batch_size: int,
    mesh: Mesh | None = None,
) -> tuple[Any, Any]:
    """Takes a step on each mini-batch of the rows in this order, for use under `jit`.

    Rows that do not fill a batch make a last, smaller one. It is not padded, so that its mean is
    over its rows alone.

    Args:
        step: `step(carry, batch) -> (carry, outputs)`.
        carry: the first carry, such as a `TrainState`.
        order: the numbers of the rows, (rows,).
        x: inputs, (all rows, ...).
        y: targets, (all rows, ...).
        batch_size: rows of a mini-batch.
        mesh: devices that share each batch; None for one device.

    Returns:
        The last carry, and the outputs of all steps, stacked.
    """
    size = min(batch_size, len(order))
    full = len(order) // size * size

    # Gathering batch by batch is faster than the whole epoch at once, and copies no data set.
    def body(carry: Any, rows: jax.Array) -> tuple[Any, Any]:
        return replicated(step(carry, share_rows((x[rows], y[rows]), mesh)), mesh)

    carry, outputs = jax.lax.scan(body, carry, order[:full].reshape(-1, size))
    if full < len(order):
        carry, last = body(carry, order[full:])
        outputs = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), outputs, last)
    return carry, outputs


def epoch_order(state: TrainState, rows: int) -> jax.Array:
    """Draws the order of the rows in the epoch that starts at this state, (rows,)."""
    order_key, _ = jax.random.split(state.key)
    return jax.random.permutation(jax.random.fold_in(order_key, state.step), rows)


def step_key(state: TrainState) -> jax.Array:
    """Derives the key of the model's random masks in the step that starts at this state."""
    _, mask_key = jax.random.split(state.key)
    return jax.random.fold_in(mask_key, state.step)


def make_evaluate(
    predict: Callable[[Any, Any, Any], jax.Array],
    loss: str | Callable[[jax.Array, Any], jax.Array],
    batch_size: int,
    mesh: Mesh | None = None,
) -> Callable[[Any, Any, Any, Any], tuple[jax.Array, jax.Array]]:
    """Makes the evaluation of a whole data set: loss and accuracy, compiled.

    Args:
        predict: `predict(params, model_state, x) -> logits`.
        loss: the mean loss of (logits, targets), or the name of one of `optax.losses`.
        batch_size: rows that are evaluated together.
        mesh: devices that share them; None for one device.

    Returns:
        `evaluate(params, model_state, x, y) -> (loss, accuracy)`: the mean loss over all rows, and
        the share of rows, or of steps of sequences, that are classified right.
    """
    mean_loss = _mean_of(loss) if isinstance(loss, str) else loss

    @jax.jit
    def evaluate(params: Any, model_state: Any, x: Any, y: Any) -> tuple[jax.Array, jax.Array]:
        def sums(batch: Batch) -> tuple[jax.Array, jax.Array]:
            batch = share_rows(batch, mesh)
            logits = predict(params, model_state, batch[0])
            hits = correct(logits, batch[1]).sum()
            return mean_loss(logits, batch[1]) * len(batch[0]), hits

        size = min(batch_size, len(x))
        full = len(x) // size * size
        batches = jax.tree.map(lambda a: a[:full].reshape(-1, size, *a.shape[1:]), (x, y))
        loss_sum, hits = jax.tree.map(jnp.sum, jax.lax.map(sums, batches))
        if full < len(x):
            last = sums((x[full:], y[full:]))
            loss_sum, hits = loss_sum + last[0], hits + last[1]
        return loss_sum / len(x), hits / labels(y).size

    return evaluate


def _mean_of(name: str) -> Callable[[jax.Array, Any], jax.Array]:
    per_example = getattr(optax.losses, name)
    return lambda logits, targets: per_example(logits, targets).mean()
