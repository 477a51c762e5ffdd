"""Finds the place of a mistake in what a candidate computed: which value is wrong, and how."""
