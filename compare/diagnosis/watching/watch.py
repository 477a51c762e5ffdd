"""Runs a candidate once more, and says which of its lines can hold the mistake."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from compare.diagnosis.backward import Backward
from compare.diagnosis.case import Case
from compare.diagnosis.tape import record_results
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.locate import Location, Locator
from compare.diagnosis.watching.references import References

__all__ = ["MOST_SUSPECTS", "TIME_LIMIT", "Watched", "watch"]

TIME_LIMIT = 5.0
"""Seconds after which the search for the place ends with what is known by then."""

MOST_SUSPECTS = 5


class Watched(NamedTuple):
    """What watching a candidate found.

    Attributes:
        suspects: "file:line" of the candidate, the most likely first.
        reason: why there are none; "" where there are.
    """

    suspects: tuple[str, ...]
    reason: str = ""


def watch(case: Case, backward: Backward) -> Watched:
    """Finds the lines of the candidate that can hold the mistake; never raises."""
    deadline = time.monotonic() + TIME_LIMIT
    try:
        return _watch(case, backward, deadline)
    except Exception as error:  # Whatever a second run of a person's function may raise.
        name = type(error).__name__
        return Watched((), f"the candidate could not be watched: {name}: {error}".splitlines()[0])


def _watch(case: Case, backward: Backward, deadline: float) -> Watched:
    if case.candidate is None:
        return Watched((), "the candidate was not run again")
    graph = Graph(record_results(case.candidate))
    locator = Locator(case, graph, References(backward), deadline)
    lines: list[str] = []
    for group in locator.zeros().values():
        lines += _sites(graph, group)
    for location in locator.locations():
        lines += _of(graph, location)
    suspects = tuple(dict.fromkeys(line for line in lines if line))[:MOST_SUSPECTS]
    return Watched(suspects, "" if suspects else "no line of it has a source")


def _sites(graph: Graph, indices: Iterable[int]) -> list[str]:
    return [graph.equations[i].site for i in indices]


def _of(graph: Graph, location: Location) -> list[str]:
    inner = [i for i in location.region if i <= max(location.innermost.group)]
    return [
        *_sites(graph, location.innermost.group),
        *_sites(graph, location.target.group),
        *_sites(graph, sorted(inner, reverse=True)),
    ]
