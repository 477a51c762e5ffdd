"""Arrays that are written place by place, and what they would be if it were added there."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from compare.diagnosis.locating.expectations import same
from compare.diagnosis.watching.graph import WRITING, Graph, Group
from compare.diagnosis.watching.numpy_ops import computed
from compare.diagnosis.watching.references import Reference, References
from compare.trees import is_key

__all__ = ["Written", "in_vain", "only_the_last_is_written", "written"]


class Written(NamedTuple):
    """An array that the turns of a loop write into, each over what was there.

    Attributes:
        group: the writes.
        lost: what is lost of it by the end.
        added: what it would be after each write, were it added to what was there.
    """

    group: Group
    lost: np.ndarray
    added: tuple[np.ndarray, ...]


def written(graph: Graph) -> Iterator[Written]:
    """Lists the arrays of which some place is written more than once by one operation."""
    indices = [i for i, e in enumerate(graph.equations) if e.name in WRITING]
    for group in graph.groups(indices):
        for chain in _chains(graph, group):
            lost, added = _lost(graph, chain)
            if added and np.any(lost):
                yield Written(chain, lost, tuple(added))


def in_vain(graph: Graph) -> Callable[[np.ndarray], bool]:
    """Gives what tells whether numbers were computed in vain: for no result, or written over."""

    @functools.cache
    def computed_in_vain() -> References:
        needed = graph.ancestors(graph.outputs.values())
        slots = [s for i, e in enumerate(graph.equations) if i not in needed for s in e.outputs]
        slots += [s for e in graph.equations if e.name in WRITING for s in e.inputs[1:]]
        values = [graph.values[s] for s in slots if not is_key(graph.values[s])]
        arrays = [np.asarray(x) for x in values if np.asarray(x).dtype.kind in "fc"]
        return References(Reference("value", 0, x, "", "", n) for n, x in enumerate(arrays))

    return lambda numbers: computed_in_vain().match(numbers) is not None


def only_the_last_is_written(
    found: np.ndarray, expected: np.ndarray, turns: list[np.ndarray]
) -> bool:
    """Tells whether each turn of a loop should add to a place of its own, and the last one does.

    Then the places come to what one turn gives, and should come to what all of them give; where
    a loop inside has added it up, its last turns count.
    """
    if found.ndim != turns[0].ndim + 1 or found.shape[1:] != turns[0].shape:
        return False
    if not same(found.sum(axis=0), turns[-1]):
        return False
    total, count = expected.sum(axis=0), len(turns)
    inner = (n for n in range(1, count // 2 + 1) if count % n == 0)
    return any(same(np.sum(turns[n - 1 :: n], axis=0), total) for n in inner)


def _chains(graph: Graph, group: Group) -> Iterator[Group]:
    """The writes of a group that change one array after another; other lines may as well."""
    chain: list[int] = []
    for index in group:
        if chain and chain[-1] not in _before(graph, index, chain[-1]):
            yield tuple(chain)
            chain = []
        chain.append(index)
    yield tuple(chain)


def _before(graph: Graph, index: int, first: int) -> Iterator[int]:
    """The writes into an array before this one, the last first."""
    while index > first:
        made = graph.maker.get(graph.equations[index].inputs[0])
        if made is None or graph.equations[made].name not in WRITING:
            return
        index = made
        yield index


def _lost(graph: Graph, chain: Group) -> tuple[np.ndarray, list[np.ndarray]]:
    """What the writes of a chain lose, and the array after each if they did not."""
    start = graph.values[graph.equations[chain[0]].inputs[0]]
    lost, added = np.zeros(np.shape(start)), []
    if len(chain) < 2 or not isinstance(start, np.ndarray) or start.dtype.kind != "f":
        return lost, []
    for index in chain:
        equation = graph.equations[index]
        old, *given = (graph.values[slot] for slot in equation.inputs)
        own = np.asarray(computed(equation, [np.zeros_like(old), *given])[0])
        now = graph.values[equation.outputs[0]]
        lost = lost + old + own - now
        added.append(now + lost)
    return lost, added
