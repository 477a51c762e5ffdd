"""Holds a hand-derived gradient against `jax.grad`, and says who is wrong."""

from compare.checker.check import (
    GradientReport,
    assert_gradients_agree,
    check_gradients,
    check_rule,
)

__all__ = ["GradientReport", "assert_gradients_agree", "check_gradients", "check_rule"]
