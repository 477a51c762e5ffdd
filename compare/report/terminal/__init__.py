"""Renders results for a terminal: tables and last lines."""
