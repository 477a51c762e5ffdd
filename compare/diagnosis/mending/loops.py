"""A loop that runs the wrong way: the other way round, the same turns give the right numbers."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.expressions import lines_of
from compare.diagnosis.locating.locate import Location, Locator
from compare.diagnosis.watching.graph import Graph, Group
from compare.diagnosis.watching.numpy_ops import computed
from compare.diagnosis.watching.sources import Sources

__all__ = ["run_the_wrong_way"]


def run_the_wrong_way(locator: Locator, location: Location, sources: Sources) -> str:
    """Finds the loop, as `file:line`, that makes all leaves right if it runs the other way.

    Returns:
        The line of its `for`, or of the call that loops; "" where there is none.
    """
    graph, turns = locator.graph, len(location.target.group)
    if turns < 2:
        return ""
    origin = graph.equations[location.target.group[0]].origin
    for site, file, lines in _loops(lines_of(origin), sources):
        loop = _loop(graph, turns, file, lines)
        with np.errstate(all="ignore"):
            found = None if loop is None else _backwards(graph, loop)
        if found is not None and locator.gives(found, locator.case.leaves):
            return site
    return ""


def _loops(lines: list[str], sources: Sources) -> Iterator[tuple[str, str, range]]:
    """The statements that can be the loop of a line or of what calls it, with their lines."""
    for number, line in enumerate(lines):
        around = sources.loops(line)[:1]
        for site in around or ([line] if number else []):
            file, own = sources.lines(site)
            yield site, file, own


class _Loop(NamedTuple):
    """The equations of a loop.

    Attributes:
        groups: those of one operation at each turn.
        at: which group and which turn an equation is of.
    """

    groups: list[Group]
    at: dict[int, tuple[int, int]]


def _loop(graph: Graph, turns: int, file: str, lines: range) -> _Loop | None:
    """The equations that come from these lines; None where some turns have others to do."""
    own = (i for i, _ in enumerate(graph.equations) if graph.inside(i, file, lines))
    groups = graph.groups(own)
    if any(len(group) != turns for group in groups):
        return None
    at = {i: (g, turn) for g, group in enumerate(groups) for turn, i in enumerate(group)}
    return _Loop(groups, at)


def _backwards(graph: Graph, loop: _Loop) -> dict[int, Any] | None:
    """What is read of a loop, were its last turn the first; None where that cannot be told."""
    last = len(loop.groups[0]) - 1
    found: dict[int, Any] = {}
    for turn in range(last, -1, -1):
        for index in sorted(group[turn] for group in loop.groups):
            inputs = [_given(graph, loop, index, i, found)
                      for i in range(len(graph.equations[index].inputs))]  # fmt: skip
            if any(x is None for x in inputs):
                return None
            try:
                results = computed(graph.equations[index], inputs)
            except Exception:  # Whatever other numbers do to a person's function.
                return None
            found.update(zip(graph.equations[index].outputs, results, strict=True))
    return dict(_read_later(graph, loop, found))


def _given(graph: Graph, loop: _Loop, index: int, operand: int, found: dict[int, Any]) -> Any:
    """What an equation reads: of this turn, of the turn after it, or of what is not of the loop."""
    group, turn = loop.at[index]
    # Every turn but the first has what the loop hands on.
    example = max(turn, 1)
    slot = _handed(graph, loop.groups[group][example], operand)
    made = graph.maker.get(slot)
    if made not in loop.at:
        return graph.values[graph.equations[index].inputs[operand]]
    source, made_at = loop.at[made]
    if made_at == example:
        return found.get(_output(graph, loop.groups[source][turn], made, slot))
    if made_at != example - 1:
        return None
    if turn == len(loop.groups[group]) - 1:
        return graph.values[graph.equations[loop.groups[group][0]].inputs[operand]]
    return found.get(_output(graph, loop.groups[source][turn + 1], made, slot))


def _handed(graph: Graph, index: int, operand: int) -> int:
    """The slot that an operand is read from, before a loop of jax's has copied it."""
    slot = graph.equations[index].inputs[operand]
    while slot in graph.maker and graph.equations[graph.maker[slot]].signature == "copy":
        (slot,) = graph.equations[graph.maker[slot]].inputs
    return slot


def _output(graph: Graph, index: int, made: int, slot: int) -> int:
    """The slot of an equation that is to it what `slot` is to the equation `made`."""
    return graph.equations[index].outputs[graph.equations[made].outputs.index(slot)]


def _read_later(graph: Graph, loop: _Loop, found: dict[int, Any]) -> Iterator[tuple[int, Any]]:
    """What is read of the loop when it is over: the last turn's is now that of the first one."""
    for group in loop.groups:
        read = [
            (index, slot)
            for index in group
            for slot in graph.equations[index].outputs
            if _is_read_later(graph, loop, slot)
        ]
        ends = all(index == group[-1] for index, _ in read)
        for index, slot in read:
            yield slot, found[_output(graph, group[0], index, slot) if ends else slot]


def _is_read_later(graph: Graph, loop: _Loop, slot: int) -> bool:
    if slot in graph.outputs.values():
        return True
    return any(
        _is_read_later(graph, loop, graph.equations[i].outputs[0])
        if graph.equations[i].signature == "copy"
        else i not in loop.at
        for i in graph.readers[slot]
    )
