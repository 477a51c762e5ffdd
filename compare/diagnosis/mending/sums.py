"""Numbers that a line multiplies by, and the axes that it sums over."""

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from compare.diagnosis.hypotheses import distinct_numbers
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.mending.line import SUMS, Line, Read, columns, in_stead
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.spots import OVERWRITTEN, Named
from compare.trees import in_double

__all__ = ["added_up", "kept_axes", "other_axes", "scaled"]


def scaled(line: Line) -> Iterator[tuple[Read, Named]]:
    """Multiplies what a line reads by a simple number."""
    graph, expected = line.graph, line.expected
    right = _row(expected.values())
    known = ~np.isnan(right)
    if distinct_numbers(right[known]) < 3:
        return
    now = _row(graph.values[slot] for slot in expected)[known]
    for column, groups in columns(line).items():
        values = [graph.values[slot] for slot in column]
        read = in_stead(column, groups, [2 * value for value in values])
        with contextlib.suppress(Exception):  # Whatever that does to a person's function.
            found = graph.run({}, expected, read)
            step = _row(found[slot] for slot in expected)[known] - now
            factor = 1 + float(step @ (right[known] - now)) / float(step @ step)
            simple = float(Fraction(factor).limit_denominator(_LARGEST))
            if abs(factor - simple) < 1e-9 and simple not in (0, 1, -1):
                read = in_stead(column, groups, [simple * value for value in values])
                yield (
                    read,
                    Named(
                        "constant_factor", f"a term is {1 / simple:.10g} times what it should be"
                    ),
                )


def _row(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """All numbers in a row; a complex one is two."""
    return in_double(np.concatenate([np.ravel(array) for array in arrays])).view(np.float64)


_LARGEST = 1000
"""No denominator of a simple number is larger."""


def other_axes(line: Line) -> Iterator[tuple[Read, Named]]:
    """Takes a sum or a mean over other axes, where it is spread over the terms again."""
    graph = line.graph
    for index in line.indices:
        equation = graph.equations[index]
        terms = graph.values[equation.inputs[0]] if equation.inputs else None
        if equation.name not in SUMS or not isinstance(terms, np.ndarray) or terms.ndim < 2:
            continue
        totals = {axes: terms.sum(axis=axes, keepdims=True) for axes in _subsets(terms.ndim)}
        for slot in _spread_from(graph, equation.outputs[0], terms):
            value = graph.values[slot]
            own = next((a for a, t in totals.items() if _factor_of(value, t) is not None), None)
            if own is None:
                continue
            factor = _factor_of(value, totals[own]) or 0.0
            for axes, total in totals.items():
                for number in {factor, factor * _count(terms, own) / _count(terms, axes)}:
                    shape = np.broadcast_shapes(total.shape, value.shape)
                    other = np.broadcast_to(number * total, shape)
                    story = f"it is summed over the axes {own}, and should be over {axes}"
                    read = {(i, slot): other for i in graph.readers[slot]}
                    yield read, Named("summed_wrongly", story)


def kept_axes(line: Line) -> Iterator[tuple[Read, Named]]:
    """Keeps the axis of a sum, which without it is spread along another one of a square array."""
    graph = line.graph
    for index in line.indices:
        equation = graph.equations[index]
        terms = graph.values[equation.inputs[0]] if equation.inputs else None
        if equation.name not in (*SUMS, *_LARGEST_OF) or not isinstance(terms, np.ndarray):
            continue
        (out,) = equation.outputs[:1]
        total = graph.values[out]
        # Summed over the last axis a row is left where a column belongs.
        if terms.ndim != 2 or len(set(terms.shape)) > 1 or total.shape != terms.shape[:1]:
            continue
        if equation.name in SUMS and _factor_of(total[:, None], _summed(terms)) is None:
            continue
        for reader in graph.readers[out]:
            others = [graph.values[s] for s in graph.equations[reader].inputs if s != out]
            if any(np.shape(other) == terms.shape for other in others):
                story = "a sum over the last axis is spread along it: its axis has to be kept"
                yield {(reader, out): total[:, None]}, Named("summed_wrongly", story)


_LARGEST_OF = ("max", "min", "reduce_max", "reduce_min")


def _summed(terms: np.ndarray) -> np.ndarray:
    return terms.sum(axis=1, keepdims=True)


def added_up(line: Line) -> Iterator[tuple[Read, Named]]:
    """Adds to an array what a loop writes into it, over what was there."""
    graph = line.graph
    for own in line.known.written():
        if not set(own.group) & set(line.indices):
            continue
        read: Read = {}
        for index, total in zip(own.group, own.added, strict=True):
            out = graph.equations[index].outputs[0]
            read |= {(i, out): total for i in graph.readers[out] if i not in own.group}
        if read:
            yield read, OVERWRITTEN


def _subsets(ndim: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, ndim + 1):
        yield from itertools.combinations(range(ndim), size)


def _count(terms: np.ndarray, axes: tuple[int, ...]) -> int:
    return math.prod(terms.shape[axis] for axis in axes)


def _spread_from(graph: Graph, slot: int, terms: np.ndarray) -> Iterator[int]:
    """What a sum becomes on its way to being spread over as many axes as its terms have."""
    open_ = [slot]
    while open_:
        own = open_.pop()
        value = graph.values[own]
        if np.ndim(value) == terms.ndim:
            yield own
        for reader in graph.readers[own]:
            equation = graph.equations[reader]
            for out in equation.outputs[:1]:
                if equation.name in _SPREADING and np.size(graph.values[out]) <= terms.size:
                    open_.append(out)


_SPREADING = ("div", "mul", "reshape", "broadcast_in_dim", "expand_dims", "item")


def _factor_of(value: np.ndarray, total: np.ndarray) -> float | None:
    """What a total is multiplied by, and maybe spread, to be a value."""
    shape = value.shape
    if np.iscomplexobj(value) or np.iscomplexobj(total):
        return None
    if any(m not in (1, n) for n, m in zip(shape, total.shape, strict=True)):
        return None
    total = np.broadcast_to(total, np.broadcast_shapes(shape, total.shape))
    value = np.broadcast_to(value, total.shape)
    size = float(np.sum(total * total))
    factor = float(np.sum(value * total)) / size if size else 0.0
    return factor if factor and same(factor * total, value) else None
