"""Lists every hand-derived rule with its reference in the idiom of jax.nn, at several sizes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from autodiff import functions, layers
from compare.problems.rules.entry import (
    Draw,
    RuleProblem,
    Sizes,
    columns,
    entry,
    images,
    matrices,
    normal,
)
from compare.problems.rules.further import FURTHER
from compare.problems.rules.sequences import SEQUENCES
from manual import rules
from manual.rules.activations import ACTIVATIONS

__all__ = ["RULES"]


def _positive_last(draw: Draw) -> Draw:
    def positive(seed: int) -> tuple[Any, ...]:
        *inputs, variance = draw(seed)
        return (*inputs, jnp.abs(variance) + 0.1)

    return positive


def _convolutions() -> Sizes:
    """Returns sizes: a first layer of one channel, a second layer, and a layer of a ResNet."""
    shapes = [((32, 28, 28, 1), 16), ((32, 14, 14, 16), 32), ((8, 14, 14, 64), 64)]
    return [("×".join(map(str, x)) + f"→{n}", normal(x, (3, 3, x[-1], n), (n,))) for x, n in shapes]


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
        (f"{n}×{a}→{b}", normal((n, a), (a, b), (b,)))
        for n, a, b in ((32, 128, 64), (128, 784, 512))
    ]


_POOLED: dict[str, Any] = {"window": (3, 3), "stride": (2, 2)}
_PER_CHANNEL = (columns, columns)
_THREE_BLOCKS = (768, 128)
"""On a CPU the norms of rows take 256 of these at a time."""

RULES: tuple[RuleProblem, ...] = (
    *SEQUENCES,
    *FURTHER,
    *entry(rules.dense, layers.dense, _dense(), sample=normal((32, 16), (16, 72), (72,))),
    *entry(rules.batch_norm, layers.batch_norm, matrices(*_PER_CHANNEL, rows=4096)),
    *entry(rules.batch_norm, layers.batch_norm, images(*_PER_CHANNEL)),
    *entry(
        rules.batch_norm_inference,
        layers.batch_norm_inference,
        [(size, _positive_last(draw)) for size, draw in matrices(*[columns] * 4)],
    ),
    *entry(
        rules.layer_norm,
        layers.layer_norm,
        matrices(*_PER_CHANNEL, rows=4096),
        sample=normal(_THREE_BLOCKS, (128,), (128,)),
    ),
    *entry(
        rules.rms_norm,
        layers.rms_norm,
        matrices(columns, rows=4096),
        sample=normal(_THREE_BLOCKS, (128,)),
    ),
    *entry(rules.group_norm, layers.group_norm, images(*_PER_CHANNEL), label="8 groups", groups=8),
    *entry(
        rules.dropout,
        layers.dropout,
        [(size, _with_key(draw)) for size, draw in matrices()],
        label="0.3",
        examples=(1,),
        rate=0.3,
    ),
    *(
        problem
        for size in _convolutions()
        for problem in entry(rules.conv2d, layers.conv2d, [size], label="3×3")
    ),
    *entry(rules.max_pool, layers.max_pool, images(), label="2×2"),
    *entry(rules.max_pool, layers.max_pool, images(), label="3×3 stride 2", **_POOLED),
    *entry(rules.avg_pool, layers.avg_pool, images(), label="2×2"),
    *entry(rules.avg_pool, layers.avg_pool, images(), label="3×3 stride 2", **_POOLED),
    *entry(rules.global_average_pool, layers.global_average_pool, images()),
    *entry(
        rules.embedding,
        layers.embedding,
        [("256 of 64×32", _tokens(256, 64, 32)), ("4096 of 8192×128", _tokens(4096, 8192, 128))],
        examples=(1,),
    ),
    *entry(rules.glu, layers.glu, matrices()),
    *entry(rules.prelu, layers.prelu, matrices(columns)),
    *entry(rules.residual, layers.residual, matrices(lambda shape: shape), examples=(0, 1)),
    *entry(rules.flatten, layers.flatten, images()),
    *(
        problem
        for name, rule in ACTIVATIONS.items()
        for problem in entry(rule, functions.ACTIVATIONS[name], matrices())
    ),
    *entry(
        rules.mean_squared_error,
        functions.LOSSES["mean_squared_error"],
        _losses("values"),
        examples=(0, 1),
    ),
    *entry(
        rules.sigmoid_binary_cross_entropy,
        functions.LOSSES["sigmoid_binary_cross_entropy"],
        _losses("values"),
        examples=(0, 1),
    ),
    *entry(
        rules.softmax_cross_entropy,
        functions.LOSSES["softmax_cross_entropy"],
        _losses("probabilities"),
        examples=(0, 1),
    ),
    *entry(
        rules.softmax_cross_entropy_with_integer_labels,
        functions.LOSSES["softmax_cross_entropy_with_integer_labels"],
        _losses("labels"),
        examples=(0, 1),
    ),
)
"""Every rule at several sizes, the smallest of each first."""
