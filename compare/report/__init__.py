"""Renders results as documents: JSON, a page, pictures, tables; it computes nothing."""

from compare.report import html, json_file, plots, training_files

__all__ = ["html", "json_file", "plots", "training_files"]
