"""Runs whole trainings of problems: prepared, kept, resumed, on one host or many."""
