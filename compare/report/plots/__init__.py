"""Draws results as charts."""
