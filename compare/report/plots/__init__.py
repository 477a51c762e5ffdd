"""Draws results as charts."""

from compare.report.plots import benchmarks, explain, training
from compare.report.plots.figures import INSTALL_REPORT

__all__ = ["INSTALL_REPORT", "benchmarks", "explain", "training"]
