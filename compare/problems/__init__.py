"""Defines what is compared: data, models and rules, each on both sides."""

from autodiff.scalar_mlp import init as scalar_init
from compare.problems.derivations import Derivation, each_once
from compare.problems.model import Example, Model
from compare.problems.models.cnn import cnn
from compare.problems.models.language_model import LanguageModel, language_model
from compare.problems.models.mlp import mlp
from compare.problems.models.recurrent import recurrent
from compare.problems.models.regularised_mlp import regularised_mlp
from compare.problems.models.scalar_mlp import scalar_mlp
from compare.problems.models.transformer import transformer
from compare.problems.passes import ENGINES, Pass, slopes
from compare.problems.problem import DatasetName, Definition, Problem, Recipe
from compare.problems.registry import PROBLEMS, ModelName, ProblemName, choose, load
from compare.problems.rules import RULES, RuleProblem
from manual.rules import Rule

__all__ = [
    "ENGINES", "PROBLEMS", "RULES", "DatasetName", "Definition", "Derivation", "Example",
    "LanguageModel", "Model", "ModelName", "Pass", "Problem", "ProblemName", "Recipe", "Rule",
    "RuleProblem", "choose", "cnn", "each_once", "language_model", "load", "mlp", "recurrent",
    "regularised_mlp", "scalar_init", "scalar_mlp", "slopes", "transformer",
]  # fmt: skip
