"""Proves that hand-derived gradients and `jax.grad` agree, and says where they do not."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compare.checker import (
        GradientReport,
        assert_function_agrees,
        assert_gradients_agree,
        assert_rule_agrees,
        check_function,
        check_gradients,
        check_rule,
    )

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


def __getattr__(name: str) -> Any:
    """Imports the checker with the first of its names: the command line starts without it."""
    if name not in __all__:
        raise AttributeError(f"module 'compare' has no attribute {name!r}")
    from compare import checker

    return getattr(checker, name)
