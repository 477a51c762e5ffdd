"""Renders results for a terminal, as tables and last lines."""

from compare.terminal import articles, benchmarks, exercises, gradients, mutants, training
from compare.terminal.screen import console, header, print_above, progress

__all__ = [
    "articles",
    "benchmarks",
    "console",
    "exercises",
    "gradients",
    "header",
    "mutants",
    "print_above",
    "progress",
    "training",
]
