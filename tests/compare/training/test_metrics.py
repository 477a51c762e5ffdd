import jax.numpy as jnp
import numpy as np
import pytest

from compare.training import metrics

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [0.0, 2.0, 1.0]])


@pytest.mark.parametrize(
    ("logits", "targets", "expected"),
    [
        (LOGITS, np.array([0, 1, 1]), [True, False, True]),
        (LOGITS, np.eye(3)[[0, 1, 1]], [True, False, True]),
        (np.array([[0.3], [-0.3], [0.0]]), np.array([[1.0], [1.0], [0.0]]), [True, False, True]),
        (np.array([[0.3], [-0.3], [0.0]]), np.array([[1], [1], [0]]), [True, False, True]),
        (LOGITS[None], np.array([[0, 1, 1]]), [[True, False, True]]),
        (LOGITS[:, None], np.array([[0], [1], [1]]), [[True], [False], [True]]),
        (LOGITS[None], np.eye(3)[[[0, 1, 1]]], [[True, False, True]]),
    ],
    ids=[
        "class numbers",
        "one-hot",
        "binary",
        "binary integers",
        "a sequence",
        "of one step each",
        "a sequence, one-hot",
    ],
)
def test_which_rows_are_right(logits, targets, expected):
    found = metrics.correct(jnp.asarray(logits), jnp.asarray(targets))
    assert found.tolist() == expected


def test_scores_of_the_classes():
    truth, predicted = [0, 0, 0, 1, 1], [0, 0, 1, 1, 1]
    scores = metrics.class_scores(truth, predicted, 3)
    assert scores.confusion == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert scores.precision[:2] == pytest.approx([1, 2 / 3])
    assert scores.recall[:2] == pytest.approx([2 / 3, 1])
    assert np.isnan([scores.precision[2], scores.recall[2]]).all()


def test_scores_of_sequences_count_every_step():
    truth = np.array([[0, 1], [1, 1]])
    scores = metrics.class_scores(truth, np.array([[0, 1], [0, 1]]), 2)
    assert scores.confusion == [[1, 0], [1, 2]]


def test_predictions_of_all_batches_in_order():
    x = jnp.arange(7.0)[:, None] - 3
    assert metrics.predicted_classes(lambda rows: rows, x, 3).tolist() == [0, 0, 0, 0, 1, 1, 1]
