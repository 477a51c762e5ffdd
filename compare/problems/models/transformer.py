"""Builds the transformer of images on both sides."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import autodiff.transformer
import manual.transformer
from compare.problems.derivations import of_model, of_rule
from compare.problems.model import Example, Model, idiom, targets_of
from manual import rules
from manual.rules import Rule
from manual.rules.losses import by_name as loss_by_name

__all__ = ["transformer"]


def transformer(
    image: tuple[int, int], width: int, depth: int, n_out: int, loss: str | Rule[..., jax.Array]
) -> Model:
    """Builds a transformer of images, in patches of 4×4, with heads of 16 numbers.

    Args:
        image: height and width, multiples of 4.
        width: how many numbers a patch has inside, a multiple of 16.
        depth: how many blocks.
        n_out: the number of logits.
        loss: the name of a loss, or a rule of (logits, targets).
    """
    patch, heads = 4, max(1, width // 16)

    def by_hand(params: Any, state: Any, batch: Any, key: Any) -> Any:
        step = partial(manual.transformer.loss_and_grad, heads=heads, patch=patch, loss=loss)
        value, grads = step(params, batch)
        return (value, state), grads

    def in_idiom(params: Any, state: Any, batch: Any, key: Any) -> Any:
        settings = {"heads": heads, "patch": patch, "loss": idiom(loss)}
        return autodiff.transformer.loss(params, batch, **settings), state

    def with_hidden(widths: Any) -> Model:
        if len(set(widths)) != 1 or widths[0] % 16:
            raise ValueError(
                "a transformer has one width, a multiple of 16, for each block; "
                f"got {' '.join(map(str, widths))}"
            )
        return transformer(image, widths[0], len(widths), n_out, loss)

    criterion = loss_by_name(loss)
    used = (
        rules.dense, rules.embedding, rules.layer_norm, rules.rotary, rules.attention, rules.gelu,
        rules.residual, rules.linear_cross_entropy, criterion,
    )  # fmt: skip
    return Model(
        name="transformer",
        settings=f"{image[0]}×{image[1]} in 4×4-{width}×{depth}-{n_out}",
        example=Example(jax.ShapeDtypeStruct(image, jnp.float32), *targets_of(n_out)),
        init=lambda key: (manual.transformer.init(key, patch**2, width, depth, n_out), ()),
        manual=by_hand,
        loss=in_idiom,
        predict=lambda params, state, x: manual.transformer.predict(
            params, x, heads=heads, patch=patch
        ),
        criterion=criterion,
        with_hidden=with_hidden,
        derivations=(of_model(manual.transformer), *map(of_rule, used)),
    )
