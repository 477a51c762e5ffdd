"""The names of `compare.training.metrics`, for programs that import them from this module."""

from compare.training.metrics import (
    ClassScores,
    class_scores,
    classes,
    correct,
    labels,
    predicted_classes,
)

__all__ = ["ClassScores", "class_scores", "classes", "correct", "labels", "predicted_classes"]
