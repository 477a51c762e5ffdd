"""What is compared with what: data, models and rules, on both sides."""

from compare.problems.model import Example, Model
from compare.problems.models.cnn import cnn
from compare.problems.models.mlp import mlp
from compare.problems.models.regularised_mlp import regularised_mlp
from compare.problems.problem import DatasetName, Definition, Problem, Recipe
from compare.problems.registry import PROBLEMS, ModelName, ProblemName, choose, load
from manual.rules import Rule

__all__ = [
    "PROBLEMS",
    "DatasetName",
    "Definition",
    "Example",
    "Model",
    "ModelName",
    "Problem",
    "ProblemName",
    "Recipe",
    "Rule",
    "choose",
    "cnn",
    "load",
    "mlp",
    "regularised_mlp",
]
