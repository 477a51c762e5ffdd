import sys

import numpy as np
import pytest

from compare.datasets import classification


@pytest.fixture(scope="module")
def data():
    pytest.importorskip("sklearn", reason="scikit-learn (handgrad[data]) is not installed")
    return classification.load(seed=3)


def test_shapes_and_dtypes(data):
    assert data.name == "classification"
    assert [a.shape for a in data[1:5]] == [(800, 10), (800, 1), (200, 10), (200, 1)]
    assert {a.dtype for a in data[1:5]} == {np.dtype(np.float32)}


def test_two_classes_of_about_the_same_size(data):
    for y in (data.y_train, data.y_test):
        assert set(y.ravel().tolist()) == {0, 1}
        assert 0.4 < y.mean() < 0.6


def test_rows_are_make_classification_s_own_each_once(data):
    from sklearn.datasets import make_classification

    x, y = make_classification(n_samples=1000, n_features=10, random_state=3)
    ours = np.hstack(
        [np.vstack([data.x_train, data.x_test]), np.vstack([data.y_train, data.y_test])]
    )
    theirs = np.column_stack([x, y]).astype(np.float32)
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_a_seed_decides_everything(data):
    again = classification.load(seed=3)
    for a, b in zip(data[1:5], again[1:5], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(data.x_train, classification.load(seed=4).x_train)


def test_without_scikit_learn_says_what_to_install(monkeypatch, refusal):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    refusal(classification.load, "scikit-learn", "pip install 'handgrad[data]'")
