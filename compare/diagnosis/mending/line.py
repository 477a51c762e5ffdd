"""The operations of a line, and the values that can be read in place of others."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.watching.graph import Graph, Group
from compare.diagnosis.watching.references import Reference, References, can_be
from compare.diagnosis.watching.spots import Known

__all__ = ["SUMS", "Column", "Line", "Read", "alternatives", "columns", "in_stead", "slots"]

Read = dict[tuple[int, int], Any]
"""Values that single equations read in place of a slot's, by (equation, slot)."""


SUMS = ("reduce_sum", "sum", "mean")
"""What adds up the entries of an array, along some of its axes."""

Column = tuple[int, ...]
"""The slots that one operand of one operation has, one for each turn of a loop."""


class Line(NamedTuple):
    """The equations of a line, what the target should be, and what is known."""

    graph: Graph
    indices: list[int]
    expected: dict[int, np.ndarray]
    known: Known
    own: References


def slots(line: Line) -> dict[int, list[int]]:
    """Lists what the equations of a line read, each with its readers."""
    found: dict[int, list[int]] = defaultdict(list)
    for index in line.indices:
        for slot in line.graph.equations[index].inputs:
            found[slot].append(index)
    return found


def columns(line: Line) -> dict[Column, list[Group]]:
    """Lists the arrays of numbers that a line reads, and the operations that read them."""
    found: dict[Column, list[Group]] = defaultdict(list)
    for group in line.graph.groups(line.indices):
        for column in zip(*(line.graph.equations[i].inputs for i in group), strict=True):
            first = line.graph.values[column[0]]
            if isinstance(first, np.ndarray) and first.dtype.kind == "f" and first.size > 1:
                found[column].append(group)
    return found


def in_stead(column: Column, groups: list[Group], values: list[np.ndarray]) -> Read:
    """Lets these operations read other values where they read a column."""
    return {
        (index, slot): value
        for group in groups
        for index, slot, value in zip(group, column, values, strict=True)
    }


def alternatives(value: np.ndarray, line: Line) -> Iterator[Reference]:
    """Lists what is known, of the loss or of the candidate, and could stand for a value."""
    for references in (line.known.references, line.own):
        for reference in references.of_size(value.size):
            alike = np.squeeze(reference.array).shape == np.squeeze(value).shape
            if alike and can_be(reference.array, value):
                yield reference
