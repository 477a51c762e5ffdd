"""Finds the step at which a training went non-finite, by repeating its last epoch step by step.

To check every number at every step would slow an epoch under `lax.scan` down. A NaN or an infinity
stays once it is in the parameters or in the optimizer's state, so that the losses and the last
state show whether there was one; only then is the epoch repeated.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from compare.training.steps import Batch, LossAndGrad, TrainState, epoch_order, make_step, step_key
from compare.trees import by_path, nonfinite_faults

__all__ = ["NonFinite", "all_finite", "make_replay"]


class NonFinite(NamedTuple):
    """The first step that was not finite.

    Attributes:
        step: its number, from 1.
        leaf: the path of the first leaf with a fault, or `loss`.
        faults: one line for each leaf of the gradient that is not finite, or, if there is none,
            for each such leaf of the state after the step; then one for the loss.
        learning_rate: of that step.
    """

    step: int
    leaf: str
    faults: tuple[str, ...]
    learning_rate: float


@jax.jit
def all_finite(tree: Any) -> jax.Array:
    """Tells whether every floating number of a tree is finite."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()


def make_replay(
    loss_and_grad: LossAndGrad,
    optimizer: optax.GradientTransformation,
    learning_rate: Callable[[Any, Any], Any],
    batch_size: int,
) -> Callable[[TrainState, Any, Any], tuple[TrainState, NonFinite | None]]:
    """Makes an epoch that checks every step.

    Args:
        loss_and_grad: the gradient.
        optimizer: any of optax's.
        learning_rate: `learning_rate(opt_state, step)`.
        batch_size: rows of a mini-batch.

    Returns:
        `replay(state, x, y) -> (state, fault)`: the state before the first step that is not finite
        and its `NonFinite`, or the state after the epoch and None.
    """
    step = jax.jit(make_step(loss_and_grad, optimizer))
    gradient = jax.jit(loss_and_grad)

    def fault_at(state: TrainState, new: TrainState, loss: jax.Array, batch: Batch) -> NonFinite:
        _, grads = gradient(state.params, state.model_state, batch, step_key(state))
        faults = _faults_of_step(grads, new, loss)
        return NonFinite(
            step=int(state.step) + 1,
            leaf=faults[0].leaf,
            faults=tuple(fault.line for fault in faults),
            learning_rate=float(learning_rate(state.opt_state, state.step)),
        )

    def replay(state: TrainState, x: Any, y: Any) -> tuple[TrainState, NonFinite | None]:
        order = epoch_order(state, len(x))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = x[rows], y[rows]
            new, loss = step(state, batch)
            if not all_finite((loss, new)):
                return state, fault_at(state, new, loss, batch)
            state = new
        return state, None

    return replay


class _Fault(NamedTuple):
    """The path of a leaf that is not finite, and the line about it."""

    leaf: str
    line: str


def _faults_of_step(grads: Any, new: TrainState, loss: jax.Array) -> list[_Fault]:
    """Lists what is not finite: in the gradient or else in the new state, and then the loss."""
    faults = _faults("the gradient", grads) or (
        _faults("the update", new.params)
        + _faults("the new statistics", new.model_state)
        + _faults("the optimizer", new.opt_state)
    )
    return faults + _faults("the loss", loss, "loss")


def _faults(what: str, tree: Any, root: str = "") -> list[_Fault]:
    return [
        _Fault(path, line)
        for path, leaf in by_path(tree, root).items()
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        for line in nonfinite_faults(what, path, np.asarray(leaf))
    ]
