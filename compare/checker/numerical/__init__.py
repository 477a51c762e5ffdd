"""Numerical derivatives of a loss in a direction, each with an error bar: of values alone."""
