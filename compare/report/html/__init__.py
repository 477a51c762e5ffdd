"""Renders results as one HTML page; each section of it is a file."""

from compare.report.html.page import fragment, headlines, render, write

__all__ = ["fragment", "headlines", "render", "write"]
