"""Loads the data that both sides are compared on: XOR, parity, a synthetic task, MNIST."""

from compare.datasets import classification, digit_image, mnist, mnist5k, parity, xor
from compare.datasets.dataset import DataError, Dataset

__all__ = [
    "DataError", "Dataset", "classification", "digit_image", "mnist", "mnist5k", "parity", "xor"
]  # fmt: skip
