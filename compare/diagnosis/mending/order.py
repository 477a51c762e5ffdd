"""The order of the axes of an array that a line gives another shape."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from compare.diagnosis.mending.line import Line, Read
from compare.diagnosis.watching.spots import Named

__all__ = ["reordered"]

_MOST_AXES = 4


def reordered(line: Line) -> Iterator[tuple[Read, Named]]:
    """Puts the axes of an array in another order before it is given another shape.

    Wherever the line is reached from: it does the same each time.
    """
    graph = line.graph
    sites = {graph.equations[i].site for i in line.indices if graph.equations[i].name == "reshape"}
    alike: dict[Any, list[int]] = defaultdict(list)
    for index, equation in enumerate(graph.equations):
        if equation.site in sites and equation.name == "reshape":
            alike[np.ndim(graph.values[equation.inputs[0]])].append(index)
    for ndim, group in alike.items():
        if 2 < ndim <= _MOST_AXES:
            for axes in itertools.islice(itertools.permutations(range(ndim)), 1, None):
                read: Read = {}
                for index in group:
                    equation = graph.equations[index]
                    slot, out = equation.inputs[0], equation.outputs[0]
                    # What comes later is computed of what is changed before.
                    given = graph.run({}, [slot], read)[slot]
                    own = given.transpose(axes).reshape(np.shape(graph.values[out]))
                    read.update({(i, out): own for i in graph.readers[out]})
                story = "the axes have to be put in another order before the shape is changed"
                yield read, Named("wrong_places", story)
