"""Lists all mutants and their originals."""

from compare.mutants import (
    attention,
    binary_mlp,
    convolution,
    dropout,
    embedding,
    forks,
    fused_loss,
    gru,
    heads,
    lengths,
    lstm,
    mlp,
    normalisation,
    pooling,
    regression_mlp,
    rnn,
    rotary,
    trackers,
    transformer,
)
from compare.mutants.mutant import Mutant, Original

__all__ = ["Mutant", "mutants", "originals"]

_FILES = (
    mlp,
    binary_mlp,
    regression_mlp,
    forks,
    normalisation,
    embedding,
    rnn,
    attention,
    convolution,
    pooling,
    dropout,
    trackers,
    lstm,
    gru,
    lengths,
    heads,
    rotary,
    fused_loss,
    transformer,
)


def originals() -> tuple[Original, ...]:
    """Returns every model of the gallery, each with its right gradient."""
    return tuple(original for file in _FILES for original in file.ORIGINALS)


def mutants() -> tuple[Mutant, ...]:
    """Returns every wrong gradient of the gallery."""
    return tuple(mutant for original in originals() for mutant in original.mutants)
