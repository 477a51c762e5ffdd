"""How good a classifier is: which rows are right, the confusion matrix, precision and recall."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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
    """Returns the class that the logits choose: the largest, or whether a single one is > 0.

    Shapes: logits (rows, classes) -> (rows,), of sequences (rows, time, classes) -> (rows, time).
    """
    return (logits[..., 0] > 0).astype(int) if logits.shape[-1] == 1 else logits.argmax(axis=-1)


def labels(targets: Any) -> Any:
    """Returns the true class of each row, or of each step of a sequence.

    Targets (rows,), and integers, are its number. Of floating ones the last axis is the class:
    of length 1 it is a zero or a one, else it holds probabilities.
    """
    if targets.ndim == 1 or jnp.issubdtype(targets.dtype, jnp.integer):
        return targets
    return (
        (targets[..., 0] > 0.5).astype(int) if targets.shape[-1] == 1 else targets.argmax(axis=-1)
    )


def correct(logits: jax.Array, targets: Any) -> jax.Array:
    """Tells of each row, or each step of a sequence, whether it is classified right: bool."""
    truth = labels(targets)
    if truth.ndim == logits.ndim:  # Zeros and ones of an integer dtype.
        truth = truth[..., 0]
    return classes(logits) == truth


def predicted_classes(
    predict: Callable[[Any], jax.Array], x: Any, batch_size: int = 1000
) -> np.ndarray:
    """Computes the class of each row of `x`, by `predict(x) -> logits`, a batch at a time."""
    choose = jax.jit(lambda rows: classes(predict(rows)))
    batches = range(0, len(x), batch_size)
    return np.concatenate([choose(x[start : start + batch_size]) for start in batches])


def class_scores(truth: Any, predicted: Any, count: int) -> ClassScores:
    """Computes the confusion matrix, precision and recall, as scikit-learn does.

    Args:
        truth: the true class of each row, or of each step of each sequence.
        predicted: the class it was taken for.
        count: how many classes there are.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    names, truth, predicted = np.arange(count), np.ravel(truth), np.ravel(predicted)
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
