"""What is wrong with a result before any number is compared: structure, and what is not finite."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from compare.checker.sides.evaluation import Key, Point, Result
from compare.trees import by_path, in_double, is_inexact, nonfinite_faults

__all__ = ["Faults", "empty", "nonfinite", "overflow", "overflown_inputs", "structure"]


class Faults(NamedTuple):
    """Leaves that cannot be compared.

    Attributes:
        keys: which.
        sentences: what is wrong with each.
    """

    keys: frozenset[Key]
    sentences: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.sentences)


def structure(point: Point, compiled: bool) -> Faults:
    """Finds leaves that are missing, or of another shape or dtype than they must be.

    Args:
        point: what both sides returned in the dtype asked for.
        compiled: whether manual was; if not, a wider dtype is no fault, as NumPy promotes.
    """
    m, a = point.leaves("manual"), point.leaves("autodiff")
    batches = {np.shape(x)[0] for x in point.arrays if np.ndim(x)}
    told = {key: _fault(key, m.get(key), a.get(key), batches, compiled) for key in {**a, **m}}
    wrong = {key: sentence for key, sentence in told.items() if sentence}
    if wrong and _is_swapped(point):
        return Faults(frozenset(wrong), ("manual returned (grads, loss): return (loss, grads)",))
    return Faults(frozenset(wrong), tuple(wrong.values()))


def _is_swapped(point: Point) -> bool:
    """Whether manual's value is made like the parameters, and its gradient like the value."""
    (value, gradient), (wanted_value, wanted_gradient) = (
        (by_path(result.value), by_path(result.grads)) for result in (point.manual, point.autodiff)
    )
    made, wanted = _shapes(value), _shapes(wanted_gradient)
    return made == wanted != _shapes(gradient) == _shapes(wanted_value)


def _shapes(leaves: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {path: np.shape(leaf) for path, leaf in leaves.items()}


def _fault(
    key: Key,
    manual: np.ndarray | None,
    wanted: np.ndarray | None,
    batches: Collection[int],
    compiled: bool,
) -> str:
    kind, path = key
    ours, theirs = (
        ("manual's gradient", "the parameter") if kind == "grad" else ("manual", "autodiff")
    )
    if manual is None:
        return f"{path}: is missing from {ours}"
    if wanted is None:
        return f"{path}: is in {ours} and not in {theirs.replace('parameter', 'parameters')}"
    if manual.shape != wanted.shape:
        likely = _likely(manual.shape, wanted.shape, batches) if kind == "grad" else ""
        return f"{path}: {ours} has shape {manual.shape}, {theirs} has {wanted.shape}{likely}"
    if (
        kind == "grad"
        and manual.dtype != wanted.dtype
        and not _is_promoted(manual, wanted, compiled)
    ):
        return f"{path}: {ours} has dtype {manual.dtype}, {theirs} has {wanted.dtype}"
    return ""


def _is_promoted(manual: np.ndarray, wanted: np.ndarray, compiled: bool) -> bool:
    return not compiled and jnp.promote_types(manual.dtype, wanted.dtype) == manual.dtype


def _likely(found: tuple[int, ...], wanted: tuple[int, ...], batches: Collection[int]) -> str:
    """What was probably done, after a dash."""
    if len(found) > 1 and found == wanted[::-1]:
        return ": is it transposed?"
    if wanted and np.prod(found) == 1:
        return ": is it summed over all axes?"
    if found and found[1:] == wanted and found[0] in batches:
        return ": is the sum over the examples missing?"
    if len(found) == len(wanted) and np.prod(found) == np.prod(wanted):
        return ": are its axes in another order?"
    return ""


def nonfinite(point: Point, where: str = "") -> tuple[Faults, Faults]:
    """Finds the leaves of manual, and those of autodiff, that are not finite.

    Args:
        point: what both sides returned.
        where: to stand after each sentence.
    """
    return _not_finite("manual", point, where), _not_finite("autodiff", point, where)


def _not_finite(side: Any, point: Point, where: str) -> Faults:
    wrong = {
        key: f"{sentence}{where}"
        for key, leaf in point.leaves(side).items()
        for sentence in nonfinite_faults(side, key[1], leaf)
    }
    return Faults(frozenset(wrong), tuple(wrong.values()))


def overflow(point: Point, exact: Result, keys: Collection[Key]) -> list[str]:
    """Tells of leaves that are not finite only because the dtype cannot hold their numbers.

    Args:
        point: what both sides returned.
        exact: what autodiff returns in float64.
        keys: the leaves that are not finite.
    """
    manual, autodiff = point.leaves("manual"), point.leaves("autodiff")
    large, found = exact.leaves(point.value_name), []
    for key in keys:
        leaf = manual.get(key, autodiff.get(key))
        if leaf is None or key not in large or not np.all(np.isfinite(in_double(large[key]))):
            continue
        if np.max(np.abs(in_double(large[key])), initial=0) > _largest(leaf.dtype) / _NEAR:
            found.append(f"{key[1]}: overflows {_told(leaf.dtype)}; scale the loss down")
    return found


_NEAR = 16
"""What comes so near the largest number overflows on the way, in a sum or a square."""


def overflown_inputs(given: Sequence[Any], cast_to: Sequence[Any]) -> list[str]:
    """Tells of arrays that are finite as they were given, and not in the dtype asked for."""
    return [
        f"an input of {float(np.max(np.abs(in_double(x)))):.3g} overflows "
        f"{_told(low.dtype)}; scale it down"
        for x, low in zip(given, cast_to, strict=True)
        if is_inexact(x)
        and jnp.promote_types(x.dtype, low.dtype) != low.dtype
        and np.all(np.isfinite(in_double(x)))
        and not np.all(np.isfinite(in_double(low)))
    ]


def empty(arrays: Sequence[Any]) -> str:
    """Tells of arrays without an entry; "" where there are none."""
    shapes = sorted({str(np.shape(x)) for x in arrays if not np.size(x)})
    return f"an array of the point is empty: shape {', '.join(shapes)}" if shapes else ""


def _largest(dtype: Any) -> float:
    return float(jnp.finfo(dtype).max)


def _told(dtype: Any) -> str:
    return f"{dtype}, whose largest number is {_largest(dtype):.3g}"
