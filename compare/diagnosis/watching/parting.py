"""Where two forward passes that should compute the same part."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.limits import Limit
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.references import Reference, References, informative
from compare.diagnosis.watching.watcher import graph_of
from compare.sites import shown, source

__all__ = ["parting"]

TIME_LIMIT = 8.0
"""Seconds of work after which the two forward passes are not looked at further."""

Values = Callable[[], dict[str, Any]]


def parting(candidate: Values, loss: Values, name: str) -> str:
    """Tells the first line of each of two forward passes that computes what the other does not.

    Args:
        candidate: runs the hand-derived side once; its forward values by name.
        loss: the same of the loss.
        name: the value that differs.

    Returns:
        A sentence; "" where the source is not known, or one of them cannot be run again.
    """
    with contextlib.suppress(Exception):  # Whatever a second run of a person's function may raise.
        limit = Limit(TIME_LIMIT)
        ours, theirs = (graph_of(side, [name], limit) for side in (candidate, loss))
        here, there = _first_unlike(ours, theirs, name), _first_unlike(theirs, ours, name)
        if here is not None:
            return _told(here, there)
    return ""


class _Parted(NamedTuple):
    """The first value that the other side does not have, and the line that computes it."""

    site: str
    value: np.ndarray


def _first_unlike(graph: Graph, other: Graph, name: str) -> _Parted | None:
    """The earliest line that the wrong value comes from and nothing but shared values led to."""
    references = References(_values(other))
    output = graph.outputs[name]

    def shared(slot: int) -> bool:
        match = references.match(graph.values[slot])
        return match is not None and match.factor == 1

    open_, unlike = [output], set[int]()
    while open_:
        slot = open_.pop()
        if slot in unlike or slot not in graph.maker or (slot != output and shared(slot)):
            continue
        unlike.add(slot)
        open_ += graph.equations[graph.maker[slot]].inputs
    telling = [slot for slot in unlike if slot == output or informative(graph.values[slot])]
    for slot in sorted(telling, key=lambda slot: graph.maker[slot]):
        site = graph.equations[graph.maker[slot]].site
        if site:
            return _Parted(site, np.asarray(graph.values[slot]))
    return None


def _values(graph: Graph) -> Iterator[Reference]:
    for slot, value in graph.values.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            yield Reference("value", slot, value, "", "", slot)


def _told(here: _Parted, there: _Parted | None) -> str:
    text = f"the forward passes part at {shown(here.site)}, `{source(here.site)}`"
    if there is None:
        return text
    text += f"; in the loss at {shown(there.site)}, `{source(there.site)}`"
    if here.value.shape != there.value.shape:
        return f"{text}: shapes {here.value.shape} and {there.value.shape}"
    if same(here.value, there.value):
        return text
    index = tuple(int(i) for i in np.argwhere(~np.isclose(here.value, there.value, 1e-9, 0))[0])
    at = f" at {list(index)}" if index else ""
    return f"{text}: {here.value[index]:.6g} and {there.value[index]:.6g}{at}"
