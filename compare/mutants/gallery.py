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

__all__ = ["SLUGS", "Mutant", "mutants", "subjects"]

SLUGS = frozenset(
    "missing_batch_mean extra_batch_mean sign_flipped constant_factor missing_factor transposed "
    "bias_summed_over_features bias_averaged missing_activation_derivative "
    "activation_derivative_at_output activation_derivative_twice wrong_activation "
    "softmax_wrong_axis diagonal_softmax_jacobian normalisation_terms_missing scale_omitted "
    "path_cut overwritten_not_accumulated time_steps_truncated dropped_examples "
    "missing_weight_decay mask_redrawn dropout_scale_missing kernel_flipped".split()
)
"""The bugs that have a name."""

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
