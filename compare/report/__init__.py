"""Renders results as documents: JSON, a page, pictures, tables; it computes nothing."""

from compare.report import checks, html, json_file, plots, training_files

__all__ = ["checks", "html", "json_file", "plots", "training_files"]
