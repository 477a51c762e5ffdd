"""The rules of sequences."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from autodiff import sequences
from compare.problems.rules.entry import Draw, RuleProblem, Sizes, entry, normal
from manual import rules

__all__ = ["SEQUENCES"]


def _recurrent(
    gates: int, sizes: Sequence[tuple[int, int, int, int]], *, states: int = 1, biases: int = 0
) -> Sizes:
    """Returns sizes (batch, time, n_in, n) of a recurrent layer, with weights of variance 1/n."""

    def shapes(batch: int, time: int, n_in: int, n: int) -> Any:
        weights = [(n_in, gates * n), (n, gates * n), (gates * n,)]
        return [(batch, time, n_in), *[(batch, n)] * states, *weights, *[(n,)] * biases]

    def scales(n_in: int, n: int) -> list[float]:
        return [*[1.0] * (1 + states), n_in**-0.5, n**-0.5, *[1.0] * (1 + biases)]

    return [
        (
            f"{batch}×{time}×{n_in}→{n}",
            normal(*shapes(batch, time, n_in, n), scales=scales(n_in, n)),
        )
        for batch, time, n_in, n in sizes
    ]


def _attention(*sizes: tuple[int, int, int, int]) -> Sizes:
    """Returns sizes (batch, time, heads, features of a head) of self-attention."""
    return [("×".join(map(str, size)), normal(size, size, size)) for size in sizes]


def _turned(*sizes: tuple[int, int, int, int]) -> Sizes:
    return [("×".join(map(str, size)), normal(size)) for size in sizes]


def _with_positions(draw: Draw) -> Draw:
    def placed(seed: int) -> tuple[Any, ...]:
        (x,) = draw(seed)
        return x, jnp.arange(x.shape[1])

    return placed


def _last_layer(*sizes: tuple[int, int, int]) -> Sizes:
    """Returns sizes (rows, features, classes) of the last layer of a language model."""

    def drawn(n: int, d: int, classes: int) -> Draw:
        of_layer = normal((n, d), (d, classes), scales=[1.0, d**-0.5])

        def draw(seed: int) -> tuple[Any, ...]:
            labels = np.random.default_rng(seed).integers(0, classes, n)
            return (*of_layer(seed), jnp.asarray(labels))

        return draw

    return [(f"{n}×{d}→{classes}", drawn(n, d, classes)) for n, d, classes in sizes]


_ALL_THREE = (0, 1, 2)
# On a CPU several blocks of heads, each in two blocks of rows; or of all their rows, which are four
# parts of one block where it is causal; and four parts of two.
((_, _IN_BLOCKS), (_, _IN_PARTS), (_, _IN_PARTS_OF_TWO)) = _attention(
    (1, 1088, 2, 4), (14, 368, 4, 4), (1, 2896, 2, 4)
)
# On a CPU three blocks of 256 rows, and for each two products of 2,048 classes; and one block of
# rows, whose logits are computed twice, in two products of 512.
((_, _LAYER_IN_BLOCKS), (_, _LAYER_TWICE)) = _last_layer((768, 64, 4096), (256, 8, 1024))
_SMALL, _ROWS_OF_MNIST = (8, 5, 6, 16), (128, 28, 28, 128)

SEQUENCES: tuple[RuleProblem, ...] = (
    *entry(
        rules.rnn,
        sequences.rnn,
        _recurrent(1, [_SMALL, (32, 128, 256, 256)]),
        examples=(0, 1),
    ),
    *entry(
        rules.lstm,
        sequences.lstm,
        _recurrent(4, [_SMALL, _ROWS_OF_MNIST], states=2),
        examples=(0, 1, 2),
    ),
    *entry(
        rules.gru,
        sequences.gru,
        _recurrent(3, [_SMALL, _ROWS_OF_MNIST], biases=1),
        examples=(0, 1),
    ),
    *entry(
        rules.gru,
        sequences.gru,
        _recurrent(3, [_SMALL, _ROWS_OF_MNIST], biases=1),
        label="reset after",
        examples=(0, 1),
        reset_after=True,
    ),
    *entry(
        rules.attention,
        sequences.attention,
        _attention((4, 6, 2, 8), (4, 1024, 4, 32), (1, 4096, 4, 32)),
        examples=_ALL_THREE,
        sample=(_IN_PARTS, _IN_BLOCKS),
    ),
    *entry(
        rules.attention,
        sequences.attention,
        _attention((4, 6, 2, 8), (4, 1024, 4, 32), (1, 4096, 4, 32)),
        label="causal",
        examples=_ALL_THREE,
        sample=(_IN_PARTS, _IN_PARTS_OF_TWO),
        causal=True,
    ),
    *entry(
        rules.linear_cross_entropy,
        sequences.linear_cross_entropy,
        _last_layer((32, 16, 40), (2048, 256, 8192), (2048, 256, 32_768)),
        examples=(0, 2),
        sample=(_LAYER_IN_BLOCKS, _LAYER_TWICE),
    ),
    *entry(
        rules.rotary,
        sequences.rotary,
        [(size, _with_positions(draw)) for size, draw in _turned((4, 6, 2, 8), (8, 256, 4, 64))],
    ),
)
