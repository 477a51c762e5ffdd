"""Builds the recurrent classifiers on both sides."""

from typing import Any

import jax
import jax.numpy as jnp

import autodiff.recurrent
import manual.recurrent
from compare.problems.derivations import of_model, of_rule
from compare.problems.model import Example, Model, idiom, targets_of
from manual.rules import Rule, dense
from manual.rules.losses import by_name as loss_by_name

__all__ = ["recurrent"]


def recurrent(
    cell: str, sequence: tuple[int, int], n: int, n_out: int, loss: str | Rule[..., jax.Array]
) -> Model:
    """Builds a recurrent classifier.

    Args:
        cell: `rnn`, `lstm` or `gru`.
        sequence: the number of steps, and of features of each.
        n: the size of the state.
        n_out: the number of logits.
        loss: the name of a loss, or a rule of (logits, targets).
    """

    def by_hand(params: Any, state: Any, batch: Any, key: Any) -> Any:
        value, grads = manual.recurrent.loss_and_grad(params, batch, cell=cell, loss=loss)
        return (value, state), grads

    def in_idiom(params: Any, state: Any, batch: Any, key: Any) -> Any:
        return autodiff.recurrent.loss(params, batch, cell=cell, loss=idiom(loss)), state

    def with_hidden(widths: Any) -> Model:
        if len(widths) != 1:
            raise ValueError(f"{cell} has one width, the size of its state; got {len(widths)}")
        return recurrent(cell, sequence, widths[0], n_out, loss)

    criterion = loss_by_name(loss)
    rules = (manual.recurrent.CELLS[cell], dense, criterion)
    return Model(
        name=cell,
        settings=f"{sequence[0]}×{sequence[1]}-{n}-{n_out}",
        example=Example(jax.ShapeDtypeStruct(sequence, jnp.float32), *targets_of(n_out)),
        init=lambda key: (manual.recurrent.init(key, sequence[1], n, n_out, cell=cell), ()),
        manual=by_hand,
        loss=in_idiom,
        predict=lambda params, state, x: manual.recurrent.predict(params, x, cell=cell),
        criterion=criterion,
        with_hidden=with_hidden,
        derivations=(of_model(manual.recurrent), *map(of_rule, rules)),
    )
