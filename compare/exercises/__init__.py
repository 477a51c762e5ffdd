"""Exercises: backward passes to be written, from one neuron to a transformer block."""

from compare.exercises.attempt import Attempt, attempt
from compare.exercises.classroom import COLUMNS, row
from compare.exercises.exercise import EXERCISES, Exercise
from compare.exercises.folder import attempts, files, hint, start
from compare.exercises.message import message

__all__ = [
    "COLUMNS", "EXERCISES", "Attempt", "Exercise", "attempt", "attempts", "files", "hint",
    "message", "row", "start",
]  # fmt: skip
