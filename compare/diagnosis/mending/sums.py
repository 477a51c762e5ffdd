"""Numbers that a line multiplies by, and the axes that it sums over."""

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from compare.diagnosis.hypotheses import distinct_numbers
from compare.diagnosis.mending.line import Line, Read, columns, in_stead
from compare.diagnosis.watching.expectations import same
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.relations import Named
from compare.trees import in_double

__all__ = ["other_axes", "scaled"]


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
        if equation.name not in _SUMS or not isinstance(terms, np.ndarray) or terms.ndim < 2:
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


_SUMS = ("reduce_sum", "sum", "mean")


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
