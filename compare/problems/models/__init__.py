"""Builds the models of the problems on both sides, one model a file."""
