"""PyTorch tensors among the arguments: arrays for jax, and tensors again for their own side."""

import sys
from typing import Any

import jax
import numpy as np

from compare.trees import contracted, expanded, is_tensor, to_numpy

__all__ = ["as_given", "in_numpy"]


def in_numpy(tree: Any) -> Any:
    """Replaces every tensor of a tree by a NumPy array."""
    if not _has_tensors(tree):
        return tree
    arrays = jax.tree.map(lambda leaf: to_numpy(leaf) if is_tensor(leaf) else leaf, expanded(tree))
    return contracted(arrays, tree)


def as_given(tree: Any, given: Any) -> Any:
    """Undoes `in_numpy` where `given` has a tensor and `tree` an array that is not traced.

    Args:
        tree: the arrays.
        given: the same tree as it was given.
    """
    if not _has_tensors(given):
        return tree

    def of(leaf: Any, there: Any) -> Any:
        if not (is_tensor(there) and isinstance(leaf, np.ndarray)):
            return leaf
        if leaf.dtype.name == "bfloat16":  # PyTorch does not know NumPy's.
            torch = sys.modules["torch"]
            return torch.from_numpy(leaf.astype(np.float32)).to(torch.bfloat16)
        return sys.modules["torch"].from_numpy(np.array(leaf))

    return contracted(jax.tree.map(of, expanded(tree), expanded(given)), tree)


def _has_tensors(tree: Any) -> bool:
    return any(map(is_tensor, jax.tree.leaves(expanded(tree))))
