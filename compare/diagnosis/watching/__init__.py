"""Watches a candidate compute, and finds the lines of its own source that can hold the mistake."""
