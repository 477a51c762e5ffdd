"""Every hand-derived rule with its reference in the idiom of jax.nn, at several sizes."""

from compare.problems.rules.borrowed import user_cnn_losses as user_cnn_losses
from compare.problems.rules.entry import RuleProblem as RuleProblem
from compare.problems.rules.large import LARGE as LARGE
from compare.problems.rules.table import RULES as RULES
