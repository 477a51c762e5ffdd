"""Measures a classifier: which rows are right, the confusion matrix, precision and recall."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["ClassScores", "class_scores", "classes", "correct", "labels", "predicted_classes"]


class ClassScores(NamedTuple):
    """How good a classifier is on each class.

    Attributes:
        confusion: counts, the true class down and the predicted class across.
        precision: of each class, the share of the rows predicted as it that are right; NaN if no
            row is predicted as it.
        recall: of each class, the share of its rows that are predicted right; NaN if it has none.
    """

    confusion: list[list[int]]
    precision: list[float]
    recall: list[float]


def classes(logits: jax.Array) -> jax.Array:
    """Returns the predicted class: that of the largest logit. A single logit above 0 is class 1.

    Shapes: logits (rows, classes) -> (rows,), of sequences (rows, time, classes) -> (rows, time).
    """
    return (logits[..., 0] > 0).astype(int) if logits.shape[-1] == 1 else logits.argmax(axis=-1)


def labels(targets: Any) -> Any:
    """Returns the true class of each row, or of each step of a sequence.

    Targets of an integer dtype, or of shape (rows,), are class numbers already. The last axis of
    other targets is the class: of length 1 it holds a zero or a one, else probabilities.

    Shapes: targets (rows,), (rows, classes) or (rows, time, classes) -> (rows,) or (rows, time).
    """
    if targets.ndim == 1 or jnp.issubdtype(targets.dtype, jnp.integer):
        return targets
    return (
        (targets[..., 0] > 0.5).astype(int) if targets.shape[-1] == 1 else targets.argmax(axis=-1)
    )


def correct(logits: jax.Array, targets: Any) -> jax.Array:
    """Tells for each row, or each step of a sequence, whether it is classified right.

    Shapes: logits (rows, classes) -> bool (rows,), (rows, time, classes) -> bool (rows, time).
    """
    truth = labels(targets)
    if truth.ndim == logits.ndim:  # Zeros and ones in integers still have their axis of length 1.
        truth = truth[..., 0]
    return classes(logits) == truth


def predicted_classes(
    predict: Callable[[Any], jax.Array], x: Any, batch_size: int = 1000
) -> np.ndarray:
    """Computes the predicted class of each row, a batch at a time.

    Args:
        predict: `predict(x) -> logits`.
        x: the rows.
        batch_size: rows at a time.
    """
    choose = jax.jit(lambda rows: classes(predict(rows)))
    batches = range(0, len(x), batch_size)
    return np.concatenate([choose(x[start : start + batch_size]) for start in batches])


def class_scores(truth: Any, predicted: Any, count: int) -> ClassScores:
    """Computes the confusion matrix, precision and recall, as scikit-learn does.

    Args:
        truth: the true class of each row, or of each step of each sequence.
        predicted: the predicted classes, of the same shape.
        count: the number of classes.
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
