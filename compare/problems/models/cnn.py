"""Builds the convolutional network on both sides."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import autodiff.cnn
import manual.cnn
from compare.problems.derivations import of_model, of_rule
from compare.problems.model import Example, Model, idiom, targets_of
from manual.rules import Rule, conv2d, dense, flatten, max_pool, relu
from manual.rules.losses import by_name as loss_by_name

__all__ = ["cnn"]


def cnn(
    image: tuple[int, int, int],
    channels: Sequence[int],
    n_out: int,
    loss: str | Rule[..., jax.Array],
) -> Model:
    """Builds the convolutional network with these widths.

    Args:
        image: height, width and channels of an image.
        channels: the number of output channels of each convolution.
        n_out: the number of logits.
        loss: the name of a loss, or a rule of (logits, targets).
    """

    def by_hand(params: Any, state: Any, batch: Any, key: Any) -> Any:
        value, grads = manual.cnn.loss_and_grad(params, batch, loss=loss)
        return (value, state), grads

    def in_idiom(params: Any, state: Any, batch: Any, key: Any) -> Any:
        return autodiff.cnn.loss(params, batch, loss=idiom(loss)), state

    criterion = loss_by_name(loss)
    rules = (conv2d, max_pool, relu, flatten, dense, criterion)
    return Model(
        name="cnn",
        settings="-".join(["×".join(map(str, image)), *map(str, channels), str(n_out)]),
        example=Example(jax.ShapeDtypeStruct(image, jnp.float32), *targets_of(n_out)),
        init=lambda key: (manual.cnn.init(key, image, channels, n_out), ()),
        manual=by_hand,
        loss=in_idiom,
        predict=lambda params, state, x: manual.cnn.predict(params, x),
        criterion=criterion,
        with_hidden=lambda widths: cnn(image, widths, n_out, loss),
        derivations=(of_model(manual.cnn), *map(of_rule, rules)),
    )
