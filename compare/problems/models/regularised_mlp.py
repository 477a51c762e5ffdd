"""Builds the multilayer perceptron with batch normalisation and dropout, on both sides."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp

import autodiff.regularised_mlp
import manual.regularised_mlp
from compare.problems.derivations import of_model, of_rule
from compare.problems.model import Example, Model, idiom, targets_of
from manual.rules import Rule, batch_norm, dense, dropout, relu
from manual.rules.losses import by_name as loss_by_name

__all__ = ["regularised_mlp"]


def regularised_mlp(
    sizes: Sequence[int], loss: str | Rule[..., jax.Array], *, rate: float = 0.3
) -> Model:
    """Builds the multilayer perceptron with batch normalisation and dropout.

    Args:
        sizes: the sizes of the layers, the input's first.
        loss: the name of a loss, or a rule of (logits, targets).
        rate: the rate of dropout.
    """
    criterion = loss_by_name(loss)
    rules = (dense, batch_norm, relu, dropout, criterion)
    return Model(
        name="regularised-mlp",
        settings=f"{'-'.join(map(str, sizes))} batch-norm relu dropout {rate:g}",
        example=Example(jax.ShapeDtypeStruct(sizes[:1], jnp.float32), *targets_of(sizes[-1])),
        init=lambda key: manual.regularised_mlp.init(key, sizes),
        manual=partial(manual.regularised_mlp.loss_and_grad, rate=rate, loss=loss),
        loss=partial(autodiff.regularised_mlp.loss, rate=rate, loss=idiom(loss)),
        predict=manual.regularised_mlp.predict,
        criterion=criterion,
        with_hidden=lambda widths: regularised_mlp((sizes[0], *widths, sizes[-1]), loss, rate=rate),
        derivations=(of_model(manual.regularised_mlp), *map(of_rule, rules)),
    )
