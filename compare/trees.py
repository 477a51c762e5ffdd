"""Pytrees as the comparison sees them: arrays by path, and what is wrong with their structure."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_leaves_with_path

__all__ = [
    "Layout",
    "by_path",
    "cast",
    "is_float",
    "nonfinite_faults",
    "on_host",
    "require_floating",
    "structure_faults",
    "with_keys",
    "without_keys",
]


def by_path(tree: Any, root: str = "") -> dict[str, np.ndarray]:
    """The leaves of `tree` as NumPy arrays, by path: `0/w`, with `root` in front where given.

    A tree that is one array has the path `params`, where no root is given.
    """
    return {_path(path, root): np.asarray(leaf) for path, leaf in tree_leaves_with_path(tree)}


def _path(path: Any, root: str) -> str:
    own = keystr(path, simple=True, separator="/")
    return "/".join(part for part in (root, own) if part) or "params"


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


class Layout:
    """Where the arrays of a tree belong; what is no array (numbers, strings, functions) stays.

    Layouts are hashable, and equal where a traced function may be used again.
    """

    def __init__(self, tree: Any):
        leaves, self._structure = jax.tree.flatten(tree)
        self._fixed = tuple(None if _is_array(leaf) else _Fixed(leaf) for leaf in leaves)

    def arrays(self, tree: Any) -> list[Any]:
        """The leaves of `tree` that are arrays."""
        return [leaf for leaf in jax.tree.leaves(tree) if _is_array(leaf)]

    def rebuild(self, arrays: list[Any]) -> Any:
        """The tree, with these arrays in their places."""
        rest = iter(arrays)
        leaves = [next(rest) if fixed is None else fixed.leaf for fixed in self._fixed]
        return jax.tree.unflatten(self._structure, leaves)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and (self._structure, self._fixed) == (
            other._structure,
            other._fixed,
        )

    def __hash__(self) -> int:
        return hash((self._structure, len(self._fixed)))


class _Fixed:
    """A leaf that is no array; equal to the same object, or to an equal one of the same type."""

    def __init__(self, leaf: Any):
        self.leaf = leaf

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Fixed) and (
            self.leaf is other.leaf
            or (type(self.leaf) is type(other.leaf) and bool(self.leaf == other.leaf))
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType]


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


def nonfinite_faults(side: str, path: str, leaf: np.ndarray) -> list[str]:
    """How many entries of one leaf are NaN or infinite, and the first; no line if none is."""
    try:
        chex.assert_tree_all_finite(leaf)
    except AssertionError:
        bad = ~np.isfinite(leaf.astype(np.float64))
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"the first at {first}: " if first else ""
        count = f"{bad.sum()} of {leaf.size} entries"
        return [f"{path}: {side} has {count} not finite, {where}{leaf[first]}"]
    return []


def without_keys(tree: Any) -> Any:
    """The tree with random keys as the numbers in them, which can be written and sent."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def with_keys(tree: Any, like: Any) -> Any:
    """The tree with random keys where `like` has some."""
    return jax.tree.map(
        lambda leaf, own: jax.random.wrap_key_data(leaf) if _is_key(own) else leaf, tree, like
    )


def on_host(tree: Any) -> Any:
    """The tree's arrays as NumPy's, random keys aside."""
    return with_keys(jax.device_get(without_keys(tree)), tree)


def _is_key(leaf: Any) -> bool:
    return _is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
