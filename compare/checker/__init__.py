"""Holds a hand-derived gradient against `jax.grad`, and says who is wrong."""

from compare.checker.check import assert_gradients_agree, check_gradients, require_agreement
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
    "require_agreement",
]
