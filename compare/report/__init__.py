"""Renders results, and computes nothing."""
