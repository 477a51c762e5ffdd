"""Loads the data that both sides are compared on: XOR, a synthetic classification task, MNIST."""

from compare.datasets import classification, digit_image, mnist, mnist5k, xor
from compare.datasets.dataset import DataError, Dataset

__all__ = ["DataError", "Dataset", "classification", "digit_image", "mnist", "mnist5k", "xor"]
