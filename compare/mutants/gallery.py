"""All mutants."""

from compare.mutants import (
    attention,
    binary_mlp,
    convolution,
    dropout,
    embedding,
    forks,
    mlp,
    normalisation,
    pooling,
    regression_mlp,
    rnn,
)
from compare.mutants.mutant import Mutant, Subject

__all__ = ["Mutant", "mutants", "subjects"]

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
)


def subjects() -> tuple[Subject, ...]:
    """Every model of the gallery, with its right gradient."""
    return tuple(subject for file in _FILES for subject in file.SUBJECTS)


def mutants() -> tuple[Mutant, ...]:
    """Every wrong gradient of the gallery."""
    return tuple(mutant for subject in subjects() for mutant in subject.mutants)
