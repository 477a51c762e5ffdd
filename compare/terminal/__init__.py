"""Renders results for a terminal, as tables and last lines."""

from compare.terminal import (
    articles,
    benchmarks,
    check_cost,
    exercises,
    explain,
    gradients,
    mutants,
    training,
)
from compare.terminal.screen import console, header, print_above, progress

__all__ = [
    "articles",
    "benchmarks",
    "check_cost",
    "console",
    "exercises",
    "explain",
    "gradients",
    "header",
    "mutants",
    "print_above",
    "progress",
    "training",
]
