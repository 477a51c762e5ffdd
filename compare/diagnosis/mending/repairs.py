"""Small changes of a line that give the right numbers: another operand, a step less, a transpose.

Where the numbers themselves do not tell the mistake, the change that mends them does.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.locating.expectations import same
from compare.diagnosis.locating.locate import Location, Locator, Target
from compare.diagnosis.mending.line import Line, Read
from compare.diagnosis.mending.operands import (
    others,
    others_at_every_turn,
    products,
    shifted,
    shorter,
    signs,
    swapped,
    transposes,
    turned_kernels,
)
from compare.diagnosis.mending.order import reordered
from compare.diagnosis.mending.sums import added_up, kept_axes, other_axes, scaled
from compare.diagnosis.watching.references import References
from compare.diagnosis.watching.spots import Known, Named

__all__ = ["Repair", "repairs"]


class Repair(NamedTuple):
    """A change that mends a line.

    Attributes:
        site: the line.
        named: what the mistake is called that it mends.
        read: the values that are read in place of others.
    """

    site: str
    named: Named
    read: Read


def repairs(
    locator: Locator, location: Location, known: Known, own: References
) -> Iterator[Repair]:
    """Yields the changes that make the target right, the simplest first."""
    graph, target = locator.graph, location.target
    wanted = [graph.equations[i].outputs[0] for i in target.group]
    expected = dict(zip(wanted, target.expected, strict=True))
    by_line: dict[str, list[int]] = defaultdict(list)
    # Who goes through an array does nothing to its rows.
    region = {i for i in location.region if not graph.goes_through(i)}
    # What is recognised may still not belong there: one step further back.
    reading = (graph.equations[i] for i in region if not graph.makes_zeros(i))
    before = {graph.maker[s] for e in reading for s in e.inputs if s in graph.maker}
    before -= locator.vouched
    for index in sorted(region | {i for i in before if not graph.goes_through(i)}):
        by_line[graph.equations[index].site].append(index)
    # The innermost place first, then what it is computed from, then what is computed from it.
    last = max(location.innermost.group)
    lines = sorted(by_line, key=lambda line: (min(by_line[line]) > last, -max(by_line[line])))
    for kind in _KINDS:
        for line in lines:
            # A kind may stumble over what a person's line holds; the other kinds are still there.
            with contextlib.suppress(Exception):
                tried = kind(Line(graph, by_line[line], expected, known, own))
                yield from [Repair(line, *own) for own in _mending(locator, target, tried)]
            if locator.limit.is_over():
                return


def _mending(
    locator: Locator, target: Target, tried: Iterable[tuple[Read, Named]]
) -> Iterator[tuple[Named, Read]]:
    """Those changes of a line that mend the target.

    Where many values will do the operand does not matter much, and none is the right one.
    """
    graph = locator.graph
    wanted = [graph.equations[i].outputs[0] for i in target.group]
    mending: dict[Any, list[tuple[Named, np.ndarray, Read]]] = defaultdict(list)
    plans: dict[Any, tuple[list[int], list[int]]] = {}
    for read, name in tried:
        if locator.limit.is_over():
            break
        value = next(iter(read.values()))
        where = tuple(read)
        if any(same(value, other) for _, other, _ in mending[where]):
            continue
        if where not in plans:
            first, every = (graph.plan((), own, read) for own in (wanted[:1], wanted))
            plans[where] = first, every
        if _mends(locator, target, read, *plans[where]):
            mending[where].append((name, value, read))
    for found in mending.values():
        if 0 < len(found) <= 2:
            yield found[0][0], found[0][2]


def _mends(
    locator: Locator, target: Target, read: Read, first: list[int], every: list[int]
) -> bool:
    """Whether the target is right, or right enough: what is masked later need not be.

    `first` and `every` are what is to be computed for the first turn of a loop, and for all.
    """
    graph = locator.graph
    slots = [graph.equations[i].outputs[0] for i in target.group]
    right = dict(zip(slots, target.expected, strict=True))
    found: dict[int, np.ndarray] = {}
    for wanted, plan in ((slots[:1], first), (slots, every)):
        try:
            found = graph.run({}, wanted, read, plan)
        except Exception:  # Whatever a change does to a person's function.
            return False
        if not all(_mostly_same(value, right[slot]) for slot, value in found.items()):
            return False
    is_right = all(same(value, right[slot]) for slot, value in found.items())
    return is_right or locator.mends(read, target.paths)


def _mostly_same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether the numbers that are not right should be 0, as where they are masked later."""
    if same(found, expected):
        return True
    if found.shape != expected.shape or not np.any(expected):
        return False
    away = np.abs(found - expected) > 1e-9 * np.nanmax(np.abs(expected))
    return not np.any(away & (expected != 0))


_KINDS = (
    added_up,
    transposes,
    turned_kernels,
    reordered,
    shorter,
    signs,
    swapped,
    scaled,
    other_axes,
    kept_axes,
    products,
    shifted,
    others,
    others_at_every_turn,
)
