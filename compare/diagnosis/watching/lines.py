"""The lines of a candidate that can be to blame for what is wrong at a place."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from compare.diagnosis.expressions import lines_of
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.locating.locate import Location, Locator
from compare.diagnosis.mending.written import Written
from compare.diagnosis.watching.graph import WRITING, Graph
from compare.diagnosis.watching.sources import Sources
from compare.trees import in_double

__all__ = [
    "common_to",
    "entries",
    "lines_at",
    "misread",
    "not_done_elsewhere",
    "readers",
    "sites_of",
    "summands",
    "unwritten",
    "writing_over",
]


def sites_of(graph: Graph, indices: Iterable[int]) -> list[str]:
    """Lists the lines of equations."""
    return [graph.equations[i].site for i in indices]


def lines_at(graph: Graph, location: Location) -> list[str]:
    """The lines of a place, the most suspected first: where it shows, who calls that, the rest."""
    inner = [i for i in location.region if i <= max(location.innermost.group)]
    inner = [i for i in inner if not graph.makes_zeros(i)] or inner
    shows = sites_of(graph, [*location.innermost.group, *location.target.group])
    callers = [
        line
        for i in dict.fromkeys((location.innermost.group[0], location.target.group[0]))
        for line in lines_of(graph.equations[i].origin)[1:]
    ]
    rest = sites_of(graph, sorted(inner, reverse=True))
    if location.target.reference is None and location.innermost is location.target:
        # All that is known is a wrong leaf: what is computed of right values alone comes first.
        return [*sites_of(graph, entries(graph, inner)), *shows, *rest, *callers]
    if len({*shows}) > 1:
        return [*shows, *rest, *callers]
    return [*shows, *callers[:1], *rest, *callers[1:]]


def entries(graph: Graph, region: list[int]) -> list[int]:
    """The equations of a region that read nothing that the region computed, the last ones first.

    The number 1 is what every backward pass begins with: it is as right as what is given.
    """
    own = {i for i in region if not _is_one(graph.values[graph.equations[i].outputs[0]])}
    entering = [i for i in own if not own & {graph.maker.get(s) for s in graph.equations[i].inputs}]
    return sorted(entering, reverse=True)


def _is_one(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and value.ndim == 0 and bool(value == 1)


def unwritten(locator: Locator, location: Location, sources: Sources) -> list[str]:
    """What writes into an array whose zeros are wrong: the loop, or the line if there is none."""
    graph, group = locator.graph, location.innermost.group
    if not all(graph.makes_zeros(i) for i in group):
        return []
    slots = [graph.equations[i].outputs[0] for i in group]
    readers = [i for slot in slots for i in graph.readers[slot]]
    known = [locator.references.match(own) for own in location.innermost.expected]
    adds_up = not all(graph.equations[i].name in WRITING for i in readers)
    if adds_up and any(match and match.reference.kind == "gradient" for match in known):
        return []  # Another thing belongs there, which is not what is added up.

    def loops(indices: Iterable[int]) -> list[str]:
        callers = [lines_of(graph.equations[i].origin) for i in indices]
        found = [next(filter(None, map(sources.loops, lines)), []) for lines in callers]
        return list(itertools.chain(*found))

    made_in = loops(group)  # There they are not what the loop writes to.
    return [line for line in loops(readers) if line not in made_in] or sites_of(graph, readers)


def readers(locator: Locator, location: Location) -> list[str]:
    """The lines that read a value which is right for another thing: there a step is missing."""
    graph = locator.graph
    for group in (location.innermost.group, location.target.group):
        slots = [graph.equations[i].outputs[0] for i in group]
        matches = [match for slot in slots if (match := locator.match(slot))]
        if any(m.exact and m.reference.kind in ("gradient", "term") for m in matches):
            return sites_of(graph, [i for slot in slots for i in graph.readers[slot]])
    return []


def not_done_elsewhere(locator: Locator, location: Location, marked: list[str]) -> list[str]:
    """The lines that hand something to the marked line, where that does the same rightly elsewhere.

    As the line that goes on through one layer, where those that compute the gradients are right in
    all other layers. Only a line that no right leaf comes from is doubted so.
    """
    graph = locator.graph

    def doing(index: int) -> tuple[str, str]:
        return graph.equations[index].site, graph.equations[index].name

    done = {doing(i) for i in locator.of_right_leaves}
    near = {s for i in location.region for s in (*graph.equations[i].inputs,
                                                 *graph.equations[i].outputs)}  # fmt: skip
    doubted = {*location.region, *(i for s in near for i in graph.readers[s])} - locator.vouched
    doubted = {i for i in doubted if graph.equations[i].site in marked}
    if not doubted or not all(doing(i) in done for i in doubted):
        return []
    read = {s for i in doubted for s in graph.equations[i].inputs if s in graph.maker}
    makers = {graph.maker[s] for s in read} - locator.vouched - doubted
    return sites_of(graph, sorted((i for i in makers if doing(i) not in done), reverse=True))


def summands(locator: Locator, location: Location) -> list[str]:
    """The lines of what a wrong sum adds up, the last first: one of them can lack a term."""
    graph = locator.graph
    slots = [s for i in location.target.group for s in graph.equations[i].inputs]
    makers = {graph.maker[s] for s in slots if s in graph.maker} - locator.vouched
    return sites_of(graph, sorted(makers, reverse=True))


def writing_over(locator: Locator, location: Location, all_written: Iterable[Written]) -> list[str]:
    """The lines that write over what a place lacks in the end."""
    graph, target = locator.graph, location.target
    found = in_double(graph.values[graph.equations[target.group[-1]].outputs[0]])
    lacking = in_double(target.expected[-1]) - found
    own = [x for x in all_written if x.lost.shape == lacking.shape and same(x.lost, lacking)]
    return sites_of(graph, [x.group[-1] for x in own])


def misread(locator: Locator, location: Location) -> tuple[int, ...]:
    """Finds what reads a right value of the forward pass where another one belongs.

    Returns:
        Equations of one line that make all right if they read the other; () where there are none.
    """
    graph, target = locator.graph, location.target
    if target.reference is None or target.reference.kind != "value":
        return ()
    right = {graph.equations[i].outputs[0]: x for i, x in zip(target.group, target.expected,
                                                              strict=True)}  # fmt: skip
    if not locator.vouched.issuperset(target.group) or not all(map(locator.is_known, right)):
        return ()
    by_line: dict[str, dict[tuple[int, int], Any]] = defaultdict(dict)
    for slot, value in right.items():
        for index in set(graph.readers[slot]) - locator.vouched:
            by_line[graph.equations[index].site][index, slot] = value
    paths = [*target.paths, *locator.right]
    mending = [read for read in by_line.values() if locator.mends(read, paths)]
    every = {place: x for read in by_line.values() for place, x in read.items()}
    if not mending and locator.mends(every, paths):
        mending = [*by_line.values()]
    return tuple(index for index, _ in mending[0]) if mending else ()


def common_to(graph: Graph, locations: Sequence[Location]) -> list[str]:
    """The lines that all of several places come from, those that read right values alone first."""
    common = set.intersection(*(set(location.region) for location in locations))
    common -= {i for i in common if graph.makes_zeros(i)}
    first = entries(graph, sorted(common))
    return sites_of(graph, [*first, *sorted(common - {*first}, reverse=True)])
