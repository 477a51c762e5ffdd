"""Proves that hand-derived gradients and `jax.grad` agree, and says where they do not."""

from compare.checker.check import (
    GradientReport,
    assert_gradients_agree,
    check_gradients,
    check_rule,
)

__all__ = ["GradientReport", "assert_gradients_agree", "check_gradients", "check_rule"]
