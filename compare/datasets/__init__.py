"""The data that both sides are compared on: XOR, a synthetic classification task, MNIST."""

from compare.datasets.dataset import DataError, Dataset

__all__ = ["DataError", "Dataset"]
