"""Computes the same gradients with plain NumPy and with PyTorch, to be timed beside ours."""

from compare.benchmark.engines import numpy_engine, torch_base, torch_engine, torch_sequences

__all__ = ["numpy_engine", "torch_base", "torch_engine", "torch_sequences"]
