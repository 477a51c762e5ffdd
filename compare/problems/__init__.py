"""What is compared with what: data, models and rules, on both sides."""

from compare.problems.registry import (
    PROBLEMS,
    DatasetName,
    Model,
    ModelName,
    Problem,
    ProblemName,
    choose,
    cnn,
    load,
    mlp,
    mlp_with_loss,
    regularised_mlp,
)

__all__ = [
    "PROBLEMS",
    "DatasetName",
    "Model",
    "ModelName",
    "Problem",
    "ProblemName",
    "choose",
    "cnn",
    "load",
    "mlp",
    "mlp_with_loss",
    "regularised_mlp",
]
