"""Renders results, and computes nothing."""

from compare.report import html, json_file, plots, terminal, training_files

__all__ = ["html", "json_file", "plots", "terminal", "training_files"]
