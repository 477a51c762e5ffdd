"""Lines that compute nothing and hand a value on: one of them can lack a term, or a step.

`dx = dx1` gives a right value another name, and what is read by that name should be more.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.expressions import lines_of
from compare.diagnosis.limits import Limit
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.locating.locate import Location, Locator
from compare.diagnosis.locating.substitutes import substitutes
from compare.diagnosis.recording.idle import Handed, Passed
from compare.diagnosis.watching.references import (
    Reference,
    References,
    informative,
)
from compare.diagnosis.watching.sources import Sources
from compare.trees import in_double, is_key

__all__ = ["TIME_LIMIT", "Handing", "handing", "misled_call", "passing"]

TIME_LIMIT = 1.0
"""Seconds of work for the lines that hand something on, of one place."""

_BACK = ("gradient", "term")


class Handing(NamedTuple):
    """A line that hands on another value than it should.

    Attributes:
        site: its `file:line`.
        reference: what it should be; None where that has no name.
        readers: the equations that read it.
    """

    site: str
    reference: Reference | None
    readers: tuple[int, ...]


def passing(passed: list[Passed], locator: Locator, location: Location) -> list[str]:
    """The functions that give back a value that can be wrong, or what it is computed from."""
    graph = locator.graph
    groups = (location.innermost.group, location.target.group, location.region)
    targets = [graph.equations[i] for i in dict.fromkeys(itertools.chain(*groups))]
    slots = [s for e in targets for s in (e.outputs[0], *e.inputs)]
    found = [in_double(x) for s in slots if not is_key(x := graph.values[s])]
    return [
        given.site
        for given in passed
        if any(same(given.value, own) for own in found)
        and (given.alone or not _is_kept(locator.references, given.value))
    ]


def _is_kept(references: References, value: np.ndarray) -> bool:
    """Whether it is what a forward pass returns beside its result, for the backward pass."""
    if value.dtype.kind != "f" or not informative(value):
        return True
    return any(match.exact for match in references.matches(value, ("value",)))


def misled_call(locator: Locator, location: Location, sources: Sources) -> list[str]:
    """Finds the call of what does the same rightly where another line calls it.

    Then that is right, and what it is given is not. A function on the way that never reads one of
    its parameters calls the same whatever it is told, and is to blame itself.
    """
    graph = locator.graph

    def doing(index: int) -> tuple[str, str]:
        return graph.equations[index].site, graph.equations[index].name

    # A multiple of what is right may be divided by the size of the batch later.
    results = {i: graph.values[graph.equations[i].outputs[0]] for i in location.region}
    region = [i for i, x in results.items() if not locator.references.match(x, _BACK)]
    own = {doing(i) for i in region}
    elsewhere = [i for i in locator.of_right_leaves if doing(i) in own]
    if not region or not own <= {*map(doing, elsewhere)}:
        return []
    chains = [lines_of(graph.equations[i].origin) for i in region]
    done = {line for i in elsewhere for line in lines_of(graph.equations[i].origin)}
    for call in chains[0][1:]:
        if call not in done:
            return [call] if all(call in chain for chain in chains) else []
        if sources.unread(call):
            return [call]
    return []


class _Values(NamedTuple):
    """A value that a line hands on, at every turn of a loop.

    Attributes:
        site: of the line.
        name: that it gives the value; "" where it returns it.
        source: the name that it has already.
        slots: those with its numbers, for each turn.
        values: the numbers.
    """

    site: str
    name: str
    source: str
    slots: list[list[int]]
    values: list[np.ndarray]


def handing(
    locator: Locator, location: Location, handed: Iterable[Handed], sources: Sources
) -> Handing | None:
    """Finds the line that hands on what is right for one thing, where another belongs.

    That other thing in its stead, wherever it is read from there, makes all leaves right.
    """
    limit = Limit(TIME_LIMIT)
    for own in _near(locator, location, handed):
        find = _as_named if own.name else _as_returned
        found = find(locator, location, own, sources, limit)
        if found is not None or limit.is_over():
            return found
    return None


def _near(locator: Locator, location: Location, handed: Iterable[Handed]) -> list[_Values]:
    """The values that a place reads or computes and that a line hands on, the last line first.

    A line that gives a name comes before those that return: it has no other purpose.
    """
    graph = locator.graph
    near: list[tuple[int, np.ndarray]] = []
    indices = {*location.region, *location.target.group, *location.innermost.group}
    equations = [graph.equations[i] for i in indices]
    for slot in {s for e in equations for s in (*e.inputs, *e.outputs)}:
        value = graph.values[slot]
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and informative(value):
            near.append((slot, value))
    found: dict[tuple[Any, ...], _Values] = {}
    for own in handed:
        for position, value in enumerate(own.values):
            slots = [slot for slot, other in near if np.shape(value) == other.shape
                     and same(value, other)]  # fmt: skip
            if slots:
                key = own.site, own.name, own.source, position
                empty = _Values(*key[:3], [], [])
                values = found.pop(key, empty)
                values.slots.append(slots)
                values.values.append(in_double(value))
                found[key] = values
    own = [*found.values()][::-1]
    return [x for x in own if x.name] + [x for x in own if not x.name]


def _as_named(
    locator: Locator, location: Location, own: _Values, sources: Sources, limit: Limit
) -> Handing | None:
    """Whether it lacks something where it is given a name, which is read in other lines."""
    file, lines = sources.function(own.site)
    is_returned = own.name in sources.returns(own.site)

    def reads(index: int) -> bool:
        inside = locator.graph.inside(index, file, lines)
        return own.name in sources.names(inside[0]) if inside else is_returned

    readers = _readers(locator, own, reads)
    count = len({locator.graph.equations[i].site for i, _, _ in readers})
    for reference, others in substitutes(locator.references, own.values, ("gradient",)):
        if limit.is_over():
            break
        lacking = [o - v for o, v in zip(others, own.values, strict=True)]
        is_term = all(_is_right_for_something(locator, x) for x in lacking)
        if not is_term:
            is_telling = count > 1 or locator.is_called(own.name, reference)
            if not is_telling or not all(_is_right_for_something(locator, x) for x in own.values):
                continue
        if _mends(locator, location, readers, others):
            return Handing(own.site, reference, tuple(i for i, _, _ in readers))
    return None


def _as_returned(
    locator: Locator, location: Location, own: _Values, sources: Sources, limit: Limit
) -> Handing | None:
    """Whether what should be returned, or a term of it, was computed there and is read nowhere."""
    graph, (file, lines) = locator.graph, sources.function(own.site)
    readers = _readers(locator, own, lambda i: not graph.inside(i, file, lines))
    outputs = {*graph.outputs.values()}
    dead = [
        i
        for i, e in enumerate(graph.equations)
        if graph.inside(i, file, lines)[:1] == [e.site]
        and not any(s in outputs or graph.readers[s] for s in e.outputs)
    ]
    for group in graph.groups(dead):
        if limit.is_over():
            break
        lost = [graph.values[graph.equations[i].outputs[0]] for i in group]
        alike = [np.shape(x) for x in lost] == [v.shape for v in own.values]
        if not alike or not all(_is_right_for_something(locator, x) for x in lost):
            continue
        sums = [v + x for v, x in zip(own.values, lost, strict=True)]
        for others in (lost, sums):
            if _mends(locator, location, readers, others):
                match = locator.references.match(others[-1], ("gradient",))
                reference = match.reference if match and match.exact else None
                return Handing(own.site, reference, tuple(i for i, _, _ in readers))
    return None


_Reader = tuple[int, int, int]
"""(which equation, which slot it reads, at which turn)."""


def _readers(locator: Locator, own: _Values, reads: Callable[[int], bool]) -> list[_Reader]:
    return [
        (index, slot, turn)
        for turn, slots in enumerate(own.slots)
        for slot in slots
        for index in locator.graph.readers[slot]
        if reads(index)
    ]


def _is_right_for_something(locator: Locator, value: np.ndarray) -> bool:
    found = locator.references.matches(value, _BACK)
    return any(match.exact and match.reference.array.shape == value.shape for match in found)


def _mends(
    locator: Locator, location: Location, readers: list[_Reader], others: list[np.ndarray]
) -> bool:
    read = {(index, slot): others[turn] for index, slot, turn in readers}
    return bool(read) and locator.mends(read, [*location.target.paths, *locator.right])
