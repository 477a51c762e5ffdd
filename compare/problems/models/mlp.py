"""Builds the multilayer perceptron on both sides."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import autodiff.mlp
import manual.mlp
from compare.problems.derivations import of_model, of_rule
from compare.problems.model import Example, Model, idiom, targets_of
from manual.rules import Rule, dense
from manual.rules.activations import by_name as activation_by_name
from manual.rules.losses import by_name as loss_by_name

__all__ = ["mlp"]


def mlp(
    sizes: Sequence[int],
    activation: str,
    loss: str | Rule[..., jax.Array],
    initializer: str = "he_normal",
) -> Model:
    """Builds the multilayer perceptron with these sizes, activation and loss.

    Args:
        sizes: the sizes of the layers, the input's first.
        activation: the name of the activation of the hidden layers.
        loss: the name of a loss, or a rule of (logits, targets), of which `jax.grad` then
            differentiates the forward pass.
        initializer: the name of the initializer of the weights.
    """

    def by_hand(params: Any, state: Any, batch: Any, key: Any) -> Any:
        value, grads = manual.mlp.loss_and_grad(params, batch, activation=activation, loss=loss)
        return (value, state), grads

    def in_idiom(params: Any, state: Any, batch: Any, key: Any) -> Any:
        value = autodiff.mlp.loss(params, batch, activation=activation, loss=idiom(loss))
        return value, state

    criterion = loss_by_name(loss)
    rules = (dense, activation_by_name(activation), criterion)
    return Model(
        name="mlp",
        settings=f"{'-'.join(map(str, sizes))} {activation}",
        example=Example(jax.ShapeDtypeStruct(sizes[:1], jnp.float32), *targets_of(sizes[-1])),
        init=lambda key: (manual.mlp.init(key, sizes, initializer=initializer), ()),
        manual=by_hand,
        loss=in_idiom,
        predict=lambda params, state, x: manual.mlp.predict(params, x, activation=activation),
        criterion=criterion,
        with_hidden=lambda widths: mlp(
            (sizes[0], *widths, sizes[-1]), activation, loss, initializer
        ),
        derivations=(of_model(manual.mlp), *map(of_rule, rules)),
    )
