"""Models on both sides, all with the same signatures: one without state or masks ignores them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.jaxprs import computed_once
from compare.problems.derivations import Derivation
from manual.rules import Rule

__all__ = ["Batch", "Example", "Model", "idiom", "targets_of"]

Batch = tuple[Any, Any]


class Example(NamedTuple):
    """One row of a model's data, without the axis of the batch.

    Attributes:
        x: shape and dtype of the inputs; an image is (height, width, channels), a sequence
            (time, features).
        target: shape and dtype of the target: class numbers if the dtype is an integer, else values
            from 0 to 1.
        classes: the number of classes; 2 if the target is not a class number.
    """

    x: jax.ShapeDtypeStruct
    target: jax.ShapeDtypeStruct
    classes: int = 2

    def draw(self, seed: int, rows: int) -> Batch:
        """Draws a batch: normal inputs (rows, *x.shape), uniform targets (rows, *target.shape)."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((rows, *self.x.shape))
        targets = rng.integers(0, self.classes, (rows, *self.target.shape))
        return jnp.asarray(x, self.x.dtype), jnp.asarray(targets, self.target.dtype)


class Model(NamedTuple):
    """One model on both sides.

    Attributes:
        name: its name on the command line, such as `mlp`.
        settings: the model in words: its sizes, activation and other layers.
        example: one row of its data.
        init: `init(key) -> (params, state)`, the same on both sides; state may be ().
        manual: `manual(params, state, batch, key) -> ((loss, state), grads)`, derived by hand.
        loss: `loss(params, state, batch, key) -> (loss, state)`, for `jax.grad`.
        predict: `predict(params, state, x) -> logits`, in inference.
        criterion: `criterion(logits, targets) -> loss`, the mean over the rows.
        with_hidden: `with_hidden(widths) -> Model`: this model with hidden layers of these widths.
        derivations: those of the model and of each rule in it.
    """

    name: str
    settings: str
    example: Example
    init: Callable[..., Any]
    manual: Callable[..., Any]
    loss: Callable[..., Any]
    predict: Callable[..., Any]
    criterion: Callable[..., Any]
    with_hidden: "Callable[[Sequence[int]], Model]"
    derivations: tuple[Derivation, ...] = ()

    def initial(self, key: jax.Array) -> tuple[Any, Any]:
        """Computes the parameters and the state that a training begins with: `init`, compiled."""
        return computed_once(self.init, key)

    def draw(self, seed: int, rows: int) -> Batch:
        """Draws a batch for the model; see `Example.draw`."""
        return self.example.draw(seed, rows)

    def draw_point(self, seed: int, rows: int) -> tuple[Any, Any, Batch, jax.Array]:
        """Draws parameters, state, a batch and a key: the arguments of `manual` and of `loss`."""
        key, mask_key = jax.random.split(jax.random.key(seed))
        params, state = self.initial(key)
        return params, state, self.draw(seed, rows), mask_key


def targets_of(logits: int) -> tuple[jax.ShapeDtypeStruct, int]:
    """Returns the target of a classifier with so many logits, and its number of classes.

    A single logit has targets of zeros and ones, shape (1,); several have class numbers, shape ().
    """
    if logits == 1:
        return jax.ShapeDtypeStruct((1,), jnp.float32), 2
    return jax.ShapeDtypeStruct((), jnp.int32), logits


def idiom(loss: str | Rule[..., jax.Array]) -> str | Callable[..., Any]:
    """Returns the loss for the side that `jax.grad` differentiates.

    The name of a loss is returned as it is, and means optax's. A rule is replaced by its forward
    pass, so that `jax.grad` does not use the rule's own backward pass.
    """
    if isinstance(loss, str):
        return loss
    return lambda *inputs: loss.fwd(*inputs)[0]
