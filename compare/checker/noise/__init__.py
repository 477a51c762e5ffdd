"""Rounding noise: how it is measured, and whether a difference is more than that."""
