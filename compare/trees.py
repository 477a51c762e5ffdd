"""Pytrees: their arrays by path, faults in their structure, their random keys as numbers."""

import dataclasses
import math
import sys
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_leaves_with_path

__all__ = [
    "Layout",
    "aligned_empty",
    "by_path",
    "called",
    "cast",
    "contracted",
    "expanded",
    "in_double",
    "is_array",
    "is_float",
    "is_inexact",
    "is_key",
    "is_tensor",
    "largest",
    "largest_difference",
    "nonfinite_faults",
    "of_blocks",
    "on_host",
    "path_of",
    "shape_of",
    "structure_faults",
    "to_numpy",
    "with_keys",
    "without_keys",
]


Result = TypeVar("Result")


def by_path(tree: Any, root: str = "") -> dict[str, np.ndarray]:
    """Returns the leaves of `tree` as NumPy arrays, each under its path.

    A path is written `0/w`, or `root/0/w` where a root is given. The only leaf of a tree that is a
    single array has the path `root`, or `params` without a root.
    """
    return {path_of(path, root): to_numpy(leaf) for path, leaf in tree_leaves_with_path(tree)}


def to_numpy(leaf: Any) -> np.ndarray:
    """Returns one leaf as a NumPy array; a tensor of PyTorch is taken off its tape first."""
    if not hasattr(leaf, "detach"):
        return np.asarray(leaf)
    tensor = leaf.detach().cpu()
    try:
        return np.asarray(tensor)
    except TypeError:  # PyTorch does not know NumPy's bfloat16.
        return np.asarray(tensor.float()).astype(jnp.bfloat16)


def path_of(path: Any, root: str) -> str:
    """Writes the path of a leaf, as `by_path` has it."""
    below_root = keystr(path, simple=True, separator="/")
    return "/".join(part for part in (root, below_root) if part) or "params"


def called(path: str) -> str:
    """Writes the path of a leaf as Python would index it, for a sentence: `params[2]["w"]`.

    A plain name stays as it is, and so does the first one of a path: `layers[0]["w"]`.
    """
    first, *rest = path.split("/")
    parts = rest if first.isidentifier() else [first, *rest]
    indices = (f"[{part}]" if part.isdecimal() else f'["{part}"]' for part in parts)
    return "".join([first if first.isidentifier() else "params", *indices])


def is_float(leaf: Any) -> bool:
    """Tells whether `leaf` is an array (or NumPy scalar) of a real floating type."""
    return is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)


def is_inexact(leaf: Any) -> bool:
    """Tells whether `leaf` is an array (or NumPy scalar) of a floating type, real or complex."""
    return is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def is_array(leaf: Any) -> bool:
    """Tells whether `leaf` is an array, a NumPy scalar, or stands for one while jax traces."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def is_tensor(leaf: Any) -> bool:
    """Tells whether `leaf` is a tensor of PyTorch, which is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(leaf, torch.Tensor)


def expanded(tree: Any) -> Any:
    """Replaces dataclasses that jax does not know as pytrees by dicts of their fields, in order."""

    def of(leaf: Any) -> Any:
        if not _is_dataclass(leaf):
            return leaf
        return OrderedDict((name, expanded(entry)) for name, entry in _fields(leaf).items())

    return jax.tree.map(of, tree)


def contracted(tree: Any, like: Any) -> Any:
    """Undoes `expanded`: a dict becomes a dataclass again where `like` has one."""

    def of(leaf: Any, entry: Any) -> Any:
        if not _is_dataclass(leaf):
            return entry
        own = {name: contracted(entry[name], old) for name, old in _fields(leaf).items()}
        return dataclasses.replace(leaf, **own)

    return jax.tree.map(of, like, tree)


def _is_dataclass(leaf: Any) -> bool:
    return dataclasses.is_dataclass(leaf) and not isinstance(leaf, type)


def _fields(leaf: Any) -> dict[str, Any]:
    return {f.name: getattr(leaf, f.name) for f in dataclasses.fields(leaf) if f.init}


class Layout:
    """A tree without its arrays: its structure, and the leaves that are no arrays.

    Such leaves are numbers, strings or functions. Layouts are hashable, and two of them are equal
    if a function that was traced for one may be used for the other.
    """

    def __init__(self, tree: Any):
        leaves, self._structure = jax.tree.flatten(tree)
        self._fixed = tuple(None if is_array(leaf) else _Fixed(leaf) for leaf in leaves)

    def arrays(self, tree: Any) -> list[Any]:
        """Returns the leaves of `tree` that are arrays, in the order of the leaves."""
        return [leaf for leaf in jax.tree.leaves(tree) if is_array(leaf)]

    def rebuild(self, arrays: list[Any]) -> Any:
        """Returns the tree with these arrays in place of its own arrays."""
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
    """A leaf that is no array; equal to itself, and to an equal leaf of the same type."""

    def __init__(self, leaf: Any):
        self.leaf = leaf

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Fixed) and (
            self.leaf is other.leaf
            or (type(self.leaf) is type(other.leaf) and bool(self.leaf == other.leaf))
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def cast(leaf: Any, dtype: Any) -> Any:
    """Casts an array to `dtype`, as a NumPy array: itself where it is that already.

    A random key is returned unchanged.

    With `dtype` None, and for integers and booleans, the dtype is the one that jax gives such an
    array: float64 becomes float32 unless x64 is enabled.
    """
    if is_key(leaf):
        return leaf
    own, dtype = np.asarray(leaf), _dtype_of_cast(leaf, dtype)
    if own.dtype == dtype:
        return own
    found = aligned_empty(own.shape, dtype)
    with np.errstate(over="ignore"):  # What is too large becomes infinite, which is looked at.
        np.copyto(found, own, casting="unsafe")
    return found


def shape_of(leaf: Any, dtype: Any) -> jax.ShapeDtypeStruct:
    """Returns the shape and dtype that `cast` gives an array, without its numbers."""
    is_of_keys = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    own = leaf.dtype if is_of_keys else _dtype_of_cast(leaf, dtype)
    return jax.ShapeDtypeStruct(leaf.shape, own)


def _dtype_of_cast(leaf: Any, dtype: Any) -> Any:
    if dtype is None or not is_inexact(leaf):
        return jax.dtypes.canonicalize_dtype(leaf.dtype)
    if is_float(leaf):
        return np.dtype(dtype)
    # Complex numbers have two parts, each of that type, and are no narrower than 32 bits.
    return np.result_type(np.complex64, jnp.promote_types(dtype, np.float32))


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Returns an array to be written to, which jax on a CPU then reads where it is.

    It copies what does not begin at a multiple of 64 bytes, as NumPy's large arrays do not.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + _ALIGNED, np.uint8)
    begin = -room.ctypes.data % _ALIGNED
    return room[begin : begin + size].view(dtype).reshape(shape)


_ALIGNED = 64


def in_double(leaf: Any) -> Any:
    """Returns an array as float64, or complex128 where it is complex; itself where it is that."""
    own = np.asarray(leaf)
    return own.astype(np.complex128 if np.iscomplexobj(own) else np.float64, copy=False)


def largest(x: Any) -> float:
    """Returns the largest size of any entry; 0 where there is none, NaN where one is no number."""
    if not (isinstance(x, np.ndarray) and x.size > _SMALL and x.flags.c_contiguous):
        return _largest(x)
    flat = x.reshape(-1)
    return float(np.max(of_blocks(lambda own: _largest(flat[own]), flat.size)))


def _largest(x: Any) -> float:
    own = np.asarray(x)
    if own.dtype.kind == "c":
        return float(np.abs(own).max(initial=0))
    # Two reads, and nothing is written; the methods, since NumPy's functions take longer to begin.
    return max(float(own.max(initial=0)), -float(own.min(initial=0)))


def largest_difference(a: np.ndarray, b: np.ndarray, factor: float = 1.0) -> float:
    """Returns the largest difference of any entry of a and of b, times a factor.

    It is NaN where one is not a number.
    """
    if (
        a.size <= _SMALL
        or a.shape != b.shape
        or not (a.flags.c_contiguous and b.flags.c_contiguous)
    ):
        return _largest_difference(a, b, factor)
    a, b = a.reshape(-1), b.reshape(-1)
    found = of_blocks(lambda own: _largest_difference(a[own], b[own], factor), a.size)
    return float(np.max(found))


def of_blocks(fn: Callable[[slice], Result], size: int, length: int = 2**15) -> list[Result]:
    """Computes `fn(block)` of each block of so many entries, of many by two threads.

    What a block needs on the way stays in the cache: a tenth of the time of all entries at once.
    """
    blocks = [slice(at, at + length) for at in range(0, size, length)]
    if len(blocks) < _MANY_BLOCKS:
        return [*map(fn, blocks)]
    half = len(blocks) // 2
    with ThreadPoolExecutor(1) as other:
        second = other.submit(lambda: [*map(fn, blocks[half:])])
        return [*map(fn, blocks[:half]), *second.result()]


_MANY_BLOCKS = 16


_SMALL = 2**15


def _largest_difference(a: np.ndarray, b: np.ndarray, factor: float) -> float:
    with np.errstate(invalid="ignore"):  # Inf − Inf is NaN, which no tolerance allows.
        return largest(in_double(a) - (b if factor == 1 else factor * b))


def structure_faults(expected: Any, found: Any, names: tuple[str, str]) -> list[str]:
    """Lists how the tree `found` differs from `expected` in paths, shapes and dtypes.

    Args:
        expected: the tree that sets the structure.
        found: the tree that should have it.
        names: what the messages call `expected` and `found`.

    Returns:
        One line for each path that differs; none where the trees match.
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
    expected, found = names
    if given is None:
        return f"{path}: is missing from {found}"
    if wanted is None:
        return f"{path}: is in {found} and not in {expected}"
    if given.shape != wanted.shape:
        return f"{path}: {found} has shape {given.shape}, {expected} has {wanted.shape}"
    if given.dtype != wanted.dtype:
        return f"{path}: {found} has dtype {given.dtype}, {expected} has {wanted.dtype}"
    return ""


def nonfinite_faults(side: str, path: str, leaf: np.ndarray) -> list[str]:
    """Counts the entries of one leaf that are NaN or infinite.

    Args:
        side: what the message calls the owner of the leaf.
        path: of the leaf.
        leaf: the array.

    Returns:
        One line with the count and the first such entry; none where all entries are finite.
    """
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
    """Replaces each random key of a tree by its numbers, which can be written and sent."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)


def with_keys(tree: Any, like: Any) -> Any:
    """Undoes `without_keys`: a leaf becomes a random key again where `like` has one."""
    return jax.tree.map(
        lambda leaf, there: jax.random.wrap_key_data(leaf) if is_key(there) else leaf, tree, like
    )


def on_host(tree: Any) -> Any:
    """Copies the arrays of a tree to the host, as NumPy arrays; random keys stay keys."""
    return with_keys(jax.device_get(without_keys(tree)), tree)


def is_key(leaf: Any) -> bool:
    """Tells whether `leaf` is an array of random keys."""
    return is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
