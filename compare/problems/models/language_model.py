"""Builds the transformer of tokens, whose loss is fused with its last layer, on both sides."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import autodiff.transformer
import manual.transformer
from compare.jaxprs import computed_once

__all__ = ["LanguageModel", "language_model"]


class LanguageModel(NamedTuple):
    """A causal transformer that predicts the next token.

    Attributes:
        manual: `manual(params, batch) -> (loss, grads)`, derived by hand.
        loss: `loss(params, batch) -> loss`, for `jax.grad`.
        draw: `draw(seed) -> (params, batch)`.
    """

    manual: Callable[..., Any]
    loss: Callable[..., Any]
    draw: Callable[[int], tuple[Any, Any]]


def language_model(
    vocabulary: int, width: int, depth: int, heads: int, tokens: tuple[int, int]
) -> LanguageModel:
    """Builds a causal transformer.

    Args:
        vocabulary: how many tokens there are.
        width: how many numbers a token has inside.
        depth: how many blocks.
        heads: how many heads of attention.
        tokens: the shape of a batch, (rows, time).
    """
    rows, time = tokens

    def init(key: jax.Array) -> Any:
        return manual.transformer.init(key, vocabulary, width, depth, vocabulary, tokens=True)

    def draw(seed: int) -> tuple[Any, Any]:
        key = jax.random.key(seed)
        params = computed_once(init, key)
        drawn = jnp.asarray(np.random.default_rng(seed).integers(0, vocabulary, (rows, time + 1)))
        return params, (drawn[:, :-1], drawn[:, 1:])

    return LanguageModel(
        partial(manual.transformer.loss_and_grad, heads=heads, causal=True),
        partial(autodiff.transformer.loss, heads=heads, causal=True),
        draw,
    )
