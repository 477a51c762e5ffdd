"""Lists every hand-derived rule with its reference in the idiom of jax.nn, at several sizes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from autodiff import functions, layers
from manual import rules
from manual.rules import Rule
from manual.rules.activations import ACTIVATIONS

__all__ = ["RULES", "RuleProblem", "user_cnn_losses"]

Shape = tuple[int, ...]
Draw = Callable[[int], tuple[Any, ...]]
Sizes = Sequence[tuple[str, Draw]]


class RuleProblem(NamedTuple):
    """One rule at one size.

    Attributes:
        rule: the rule, its settings bound.
        name: its name, with its settings.
        size: the size of its inputs, in words.
        reference: `reference(*inputs) -> out`, in the idiom of jax.nn and optax.
        draw: `draw(seed) -> inputs`; floating inputs are float32.
        examples: which inputs have examples on their first axis.
    """

    rule: Rule
    name: str
    size: str
    reference: Callable[..., Any]
    draw: Draw
    examples: tuple[int, ...] = (0,)


def _normal(*shapes: Shape) -> Draw:
    """Draws standard normal inputs, one of each shape."""

    def draw(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        return tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)

    return draw


def _entry(
    rule: Rule,
    reference: Callable[..., Any],
    sizes: Sizes,
    *,
    label: str = "",
    examples: tuple[int, ...] = (0,),
    **settings: Any,
) -> list[RuleProblem]:
    """Pairs a rule with its reference, at several sizes."""
    name = f"{rule.__name__} {label}".strip()
    bound = rule.bind(**settings) if settings else rule
    other = partial(reference, **settings) if settings else reference
    return [RuleProblem(bound, name, size, other, draw, examples) for size, draw in sizes]


def _matrices(*extra: Callable[[Shape], Shape], rows: int = 1024) -> Sizes:
    """Returns sizes for a rule of a matrix and of arrays whose shapes follow from the matrix's."""
    shapes = ((64, 128), (rows, 512))
    return [(f"{n}×{c}", _normal((n, c), *(follow((n, c)) for follow in extra))) for n, c in shapes]


def _columns(shape: Shape) -> Shape:
    return shape[-1:]


_IMAGES = ((32, 14, 14, 32), (128, 28, 28, 16))


def _images(*extra: Callable[[Shape], Shape]) -> Sizes:
    """Returns sizes for a rule of images and of arrays whose shapes follow from the images'."""
    return [
        ("×".join(map(str, shape)), _normal(shape, *(follow(shape) for follow in extra)))
        for shape in _IMAGES
    ]


def _positive_last(draw: Draw) -> Draw:
    def positive(seed: int) -> tuple[Any, ...]:
        *inputs, variance = draw(seed)
        return (*inputs, jnp.abs(variance) + 0.1)

    return positive


def _convolutions() -> Sizes:
    """Returns sizes: a first layer of one channel, a second layer, and a layer of a ResNet."""
    shapes = [((32, 28, 28, 1), 16), ((32, 14, 14, 16), 32), ((8, 14, 14, 64), 64)]
    return [
        ("×".join(map(str, x)) + f"→{n}", _normal(x, (3, 3, x[-1], n), (n,))) for x, n in shapes
    ]


def _tokens(count: int, vocabulary: int, width: int) -> Draw:
    def draw(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        table = jnp.asarray(rng.standard_normal((vocabulary, width)), jnp.float32)
        return table, jnp.asarray(rng.integers(0, vocabulary, count))

    return draw


def _with_targets(kind: str, n: int, classes: int) -> Draw:
    """Draws logits and the targets of a loss: `labels`, `probabilities` or `values`."""

    def draw(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        logits = jnp.asarray(rng.standard_normal((n, classes)), jnp.float32)
        if kind == "labels":
            return logits, jnp.asarray(rng.integers(0, classes, n))
        targets = rng.uniform(size=(n, classes))
        if kind == "probabilities":
            targets /= targets.sum(axis=1, keepdims=True)
        return logits, jnp.asarray(targets, jnp.float32)

    return draw


def _with_key(draw: Draw) -> Draw:
    return lambda seed: (jax.random.key(seed), *draw(seed))


def _losses(kind: str) -> Sizes:
    """Returns sizes for a loss whose targets are of this kind."""
    return [(f"{n}×{c}", _with_targets(kind, n, c)) for n, c in ((64, 10), (512, 1024))]


def _dense() -> Sizes:
    return [
        (f"{n}×{a}→{b}", _normal((n, a), (a, b), (b,)))
        for n, a, b in ((32, 128, 64), (128, 784, 512))
    ]


_POOLED = {"window": (3, 3), "stride": (2, 2)}
_PER_CHANNEL = (_columns, _columns)

RULES: tuple[RuleProblem, ...] = (
    *_entry(rules.dense, layers.dense, _dense()),
    *_entry(
        rules.batch_norm,
        layers.batch_norm,
        [*_matrices(*_PER_CHANNEL, rows=4096), *_images(*_PER_CHANNEL)],
    ),
    *_entry(
        rules.batch_norm_inference,
        layers.batch_norm_inference,
        [(size, _positive_last(draw)) for size, draw in _matrices(*[_columns] * 4)],
    ),
    *_entry(rules.layer_norm, layers.layer_norm, _matrices(*_PER_CHANNEL, rows=4096)),
    *_entry(rules.rms_norm, layers.rms_norm, _matrices(_columns, rows=4096)),
    *_entry(
        rules.group_norm, layers.group_norm, _images(*_PER_CHANNEL), label="8 groups", groups=8
    ),
    *_entry(
        rules.dropout,
        layers.dropout,
        [(size, _with_key(draw)) for size, draw in _matrices()],
        label="0.3",
        examples=(1,),
        rate=0.3,
    ),
    *_entry(rules.conv2d, layers.conv2d, _convolutions(), label="3×3"),
    *_entry(rules.max_pool, layers.max_pool, _images(), label="2×2"),
    *_entry(rules.max_pool, layers.max_pool, _images(), label="3×3 stride 2", **_POOLED),
    *_entry(rules.avg_pool, layers.avg_pool, _images(), label="2×2"),
    *_entry(rules.avg_pool, layers.avg_pool, _images(), label="3×3 stride 2", **_POOLED),
    *_entry(rules.global_average_pool, layers.global_average_pool, _images()),
    *_entry(
        rules.embedding,
        layers.embedding,
        [("256 of 64×32", _tokens(256, 64, 32)), ("4096 of 8192×128", _tokens(4096, 8192, 128))],
        examples=(1,),
    ),
    *_entry(rules.glu, layers.glu, _matrices()),
    *_entry(rules.prelu, layers.prelu, _matrices(_columns)),
    *_entry(rules.residual, layers.residual, _matrices(lambda shape: shape), examples=(0, 1)),
    *_entry(rules.flatten, layers.flatten, _images()),
    *(
        problem
        for name, rule in ACTIVATIONS.items()
        for problem in _entry(rule, functions.ACTIVATIONS[name], _matrices())
    ),
    *_entry(
        rules.mean_squared_error,
        functions.LOSSES["mean_squared_error"],
        _losses("values"),
        examples=(0, 1),
    ),
    *_entry(
        rules.sigmoid_binary_cross_entropy,
        functions.LOSSES["sigmoid_binary_cross_entropy"],
        _losses("values"),
        examples=(0, 1),
    ),
    *_entry(
        rules.softmax_cross_entropy,
        functions.LOSSES["softmax_cross_entropy"],
        _losses("probabilities"),
        examples=(0, 1),
    ),
    *_entry(
        rules.softmax_cross_entropy_with_integer_labels,
        functions.LOSSES["softmax_cross_entropy_with_integer_labels"],
        _losses("labels"),
        examples=(0, 1),
    ),
)
"""Every rule at several sizes, the smallest of each first."""


def user_cnn_losses() -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
    """Returns two losses of a CNN: with our max_pool, and with the max_pool of jax.lax.

    Both are `loss(params, batch)` as a user writes it. Everything but the pooling is jax.nn and
    optax, and `jax.grad` differentiates both. The parameters are those of `compare.problems.cnn`.
    """

    def loss(max_pool: Callable[..., jax.Array], params: Any, batch: Any) -> jax.Array:
        x, labels = batch
        for layer in params[:-1]:
            x = max_pool(jax.nn.relu(layers.conv2d(x, layer["w"], layer["b"])))
        logits = layers.dense(layers.flatten(x), params[-1]["w"], params[-1]["b"])
        return functions.LOSSES["softmax_cross_entropy_with_integer_labels"](logits, labels)

    return partial(loss, rules.max_pool), partial(loss, layers.max_pool)
