"""Renders results as one HTML page; each section of it is a file."""

from compare.report.html.page import headlines, render, write

__all__ = ["headlines", "render", "write"]
