"""Proves that hand-derived gradients and `jax.grad` agree, and says where they do not."""

from compare.checker.check import assert_gradients_agree, check_gradients
from compare.checker.functions import assert_function_agrees, check_function
from compare.checker.gradient_report import GradientReport
from compare.checker.rules import assert_rule_agrees, check_rule

__all__ = [
    "GradientReport",
    "assert_function_agrees",
    "assert_gradients_agree",
    "assert_rule_agrees",
    "check_function",
    "check_gradients",
    "check_rule",
]

__version__ = "0.1.0"
