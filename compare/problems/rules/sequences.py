"""The rules of sequences."""

from collections.abc import Sequence
from typing import Any

from autodiff import sequences
from compare.problems.rules.entry import RuleProblem, Sizes, entry, normal
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
)
