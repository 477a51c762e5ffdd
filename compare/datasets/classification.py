"""A synthetic two-class task, scikit-learn's `make_classification`: 1,000 rows of 10 features."""

import numpy as np

from compare.datasets.dataset import INSTALL_DATA, DataError, Dataset

__all__ = ["load"]

_TRAIN = 800


def load(seed: int = 0) -> Dataset:
    """Draws the task and splits it.

    Args:
        seed: Seeds both the draw and the split; one seed is always one data set.

    Returns:
        `Dataset` "classification": x (800, 10) and (200, 10) float32, y (800, 1) and (200, 1)
        float32 of zeros and ones.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import make_classification
    except ImportError as error:
        raise DataError(
            f"classification: expected scikit-learn, found no such package; {INSTALL_DATA}"
        ) from error
    x, y = make_classification(n_samples=1000, n_features=10, random_state=seed)
    order = np.random.default_rng(seed).permutation(len(x))
    x = np.asarray(x, np.float32)[order]
    y = np.asarray(y, np.float32)[order, None]
    return Dataset("classification", x[:_TRAIN], y[:_TRAIN], x[_TRAIN:], y[_TRAIN:])
