"""How good a classifier is: which rows are right, the confusion matrix, precision and recall."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

__all__ = ["ClassScores", "class_scores", "classes", "correct", "labels", "predicted_classes"]


class ClassScores(NamedTuple):
    """How good a classifier is on each class.

    Attributes:
        confusion: how many rows of each class (rows) were taken for each class (columns).
        precision: the share of right rows among those taken for the class; NaN where none was.
        recall: the share of the class's rows that were taken for it; NaN where it has none.
    """

    confusion: list[list[int]]
    precision: list[float]
    recall: list[float]


def classes(logits: jax.Array) -> jax.Array:
    """The class that the logits choose, (rows,): the largest, or whether a single one is > 0."""
    return (logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else logits.argmax(axis=1)


def labels(targets: Any) -> Any:
    """The true class of each row.

    Targets (rows,) are its number, (rows, 1) zeros and ones, (rows, classes) probabilities.
    """
    if targets.ndim == 1:
        return targets
    return (targets[:, 0] > 0.5).astype(int) if targets.shape[1] == 1 else targets.argmax(axis=1)


def correct(logits: jax.Array, targets: Any) -> jax.Array:
    """Whether each row is classified right, (rows,) bool."""
    return classes(logits) == labels(targets)


def predicted_classes(
    predict: Callable[[Any], jax.Array], x: Any, batch_size: int = 1000
) -> np.ndarray:
    """The class of each row of `x`, by `predict(x) -> logits`, compiled, a batch at a time."""
    choose = jax.jit(lambda rows: classes(predict(rows)))
    batches = range(0, len(x), batch_size)
    return np.concatenate([choose(x[start : start + batch_size]) for start in batches])


def class_scores(truth: Any, predicted: Any, count: int) -> ClassScores:
    """The confusion matrix, precision and recall, as scikit-learn computes them.

    Args:
        truth: the true class of each row.
        predicted: the class it was taken for.
        count: how many classes there are.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    names = np.arange(count)
    precision, recall, _, _ = precision_recall_fscore_support(
        truth,
        predicted,
        labels=names,
        zero_division=np.nan,  # pyright: ignore[reportArgumentType]
    )
    confusion = confusion_matrix(truth, predicted, labels=names)
    return ClassScores(
        confusion.tolist(), np.asarray(precision).tolist(), np.asarray(recall).tolist()
    )
