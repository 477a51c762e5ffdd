"""Computes the same gradients with plain NumPy and with PyTorch, to be timed beside ours."""

from compare.benchmark.engines import numpy_engine, torch_engine

__all__ = ["numpy_engine", "torch_engine"]
