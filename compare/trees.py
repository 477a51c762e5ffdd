"""Pytrees as the comparison sees them: arrays by path, and what is wrong with their structure."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_leaves_with_path

__all__ = [
    "by_path",
    "cast",
    "is_float",
    "nonfinite_faults",
    "require_floating",
    "split_arrays",
    "structure_faults",
]


def by_path(tree: Any, root: str = "") -> dict[str, np.ndarray]:
    """The leaves of `tree` as NumPy arrays, by path: `0/w`, with `root` in front where given."""
    return {_path(path, root): np.asarray(leaf) for path, leaf in tree_leaves_with_path(tree)}


def _path(path: Any, root: str) -> str:
    return "/".join(part for part in (root, keystr(path, simple=True, separator="/")) if part)


def is_float(leaf: Any) -> bool:
    """Whether `leaf` is an array (or NumPy scalar) of a floating type."""
    return _is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def require_floating(params: Any) -> None:
    """Refuses parameters that have no gradient.

    Raises:
        ValueError: `params` has no leaf, or one that is not a floating array.
    """
    leaves = tree_leaves_with_path(params)
    if not leaves:
        raise ValueError("params has no leaves: there is no gradient to compare")
    for path, leaf in leaves:
        if not is_float(leaf):
            kind = leaf.dtype if _is_array(leaf) else type(leaf).__name__
            raise ValueError(
                f"parameter {_path(path, 'params')} is {kind}; every parameter must be a floating "
                "array: pass what is not differentiated in args"
            )


def split_arrays(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The arrays of `tree`, and the function that puts (other) arrays back in their places.

    Leaves that are no arrays (numbers, strings, functions) stay in the tree as they are.
    """
    leaves, structure = jax.tree.flatten(tree)
    fixed = [None if _is_array(leaf) else (leaf,) for leaf in leaves]

    def rebuild(arrays: list[Any]) -> Any:
        rest = iter(arrays)
        return jax.tree.unflatten(structure, [f[0] if f else next(rest) for f in fixed])

    return [leaf for leaf in leaves if _is_array(leaf)], rebuild


def cast(leaf: Any, dtype: Any) -> Any:
    """A floating array as `dtype` on the host; None and other arrays: what jax makes of it."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    if dtype is None or not is_float(leaf):
        dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
    return np.asarray(leaf).astype(dtype)


def structure_faults(expected: Any, found: Any, names: tuple[str, str]) -> list[str]:
    """How the tree `found` differs from `expected` in paths, shapes and dtypes, a line each.

    `names` says what the two trees are called.
    """
    try:
        chex.assert_trees_all_equal_shapes_and_dtypes(expected, found)
    except AssertionError as error:
        wanted, given = by_path(expected), by_path(found)
        faults = [
            _fault(path, wanted.get(path), given.get(path), names) for path in {**wanted, **given}
        ]
        return [fault for fault in faults if fault] or [" ".join(str(error).split())]
    return []


def _fault(
    path: str, wanted: np.ndarray | None, given: np.ndarray | None, names: tuple[str, str]
) -> str:
    if given is None:
        return f"{path}: is missing from {names[1]}"
    if wanted is None:
        return f"{path}: is in {names[1]} and not in {names[0]}"
    if given.shape != wanted.shape:
        return f"{path}: {names[1]} has shape {given.shape}, {names[0]} has {wanted.shape}"
    if given.dtype != wanted.dtype:
        return f"{path}: {names[1]} has dtype {given.dtype}, {names[0]} has {wanted.dtype}"
    return ""


def nonfinite_faults(side: str, leaves: dict[str, np.ndarray]) -> list[str]:
    """Which leaves of one side are not finite: how many entries, and the first, a line each."""
    try:
        chex.assert_tree_all_finite(leaves)
    except AssertionError:
        return [_nonfinite(side, path, leaf) for path, leaf in leaves.items() if _bad(leaf).any()]
    return []


def _bad(leaf: np.ndarray) -> np.ndarray:
    return ~np.isfinite(leaf.astype(np.float64))


def _nonfinite(side: str, path: str, leaf: np.ndarray) -> str:
    bad = _bad(leaf)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f", the first at {first}" if first else ""
    return f"{path}: {side} has {bad.sum()} of {leaf.size} entries not finite{where}: {leaf[first]}"
