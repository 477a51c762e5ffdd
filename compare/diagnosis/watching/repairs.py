"""Small changes of a line that give the right numbers: another operand, a step less, a transpose.

Where the numbers themselves do not tell the mistake, the change that mends them does.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.hypotheses import distinct_numbers
from compare.diagnosis.watching.expectations import same
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.locate import Location, Locator
from compare.diagnosis.watching.references import Reference, References
from compare.diagnosis.watching.relations import Known, Named, told

__all__ = ["Repair", "repairs"]


class Repair(NamedTuple):
    """A change that mends a line.

    Attributes:
        site: the line.
        named: what the mistake is called that it mends.
    """

    site: str
    named: Named


def repairs(
    locator: Locator, location: Location, known: Known, own: References
) -> Iterator[Repair]:
    """Yields the changes that make the target right, the simplest first."""
    graph, target = locator.graph, location.target
    wanted = [graph.equations[i].outputs[0] for i in target.group]
    expected = dict(zip(wanted, target.expected, strict=True))
    by_line: dict[str, list[int]] = defaultdict(list)
    # What is recognised may still not belong there: one step further back.
    before = {graph.maker[s] for i in location.region for s in graph.equations[i].inputs
              if s in graph.maker} - locator.vouched  # fmt: skip
    for index in sorted(before | set(location.region)):
        by_line[graph.equations[index].site].append(index)
    # The innermost place first, then what it is computed from, then what is computed from it.
    last = max(location.innermost.group)
    lines = sorted(by_line, key=lambda line: (min(by_line[line]) > last, -max(by_line[line])))
    for kind in (_transposes, _shorter, _signs, _others, _others_at_every_turn):
        for line in lines:
            mending: dict[Any, list[tuple[Named, np.ndarray]]] = defaultdict(list)
            plans: dict[Any, list[int]] = {}
            for read, name in kind(graph, by_line[line], known, own):
                if locator.limit.is_over():
                    return
                value = next(iter(read.values()))
                where = tuple(read)
                if any(same(value, other) for _, other in mending[where]):
                    continue
                if where not in plans:
                    plans[where] = graph.plan((), wanted, read)
                if _mends(graph, read, expected, plans[where]):
                    mending[where].append((name, value))
            # Where many values will do the operand does not matter much, and none is the right one.
            yield from (Repair(line, own[0][0]) for own in mending.values() if 0 < len(own) <= 2)


def _mends(graph: Graph, read: "Read", expected: dict[int, np.ndarray], plan: list[int]) -> bool:
    try:
        with np.errstate(all="ignore"):
            found = graph.run({}, expected, read, plan)
    except Exception:  # Whatever a change does to a person's function.
        return False
    return all(same(found[slot], value) for slot, value in expected.items())


Read = dict[tuple[int, int], Any]


def _slots(graph: Graph, indices: list[int]) -> dict[int, list[int]]:
    """What the equations of a line read, each with its readers."""
    found: dict[int, list[int]] = defaultdict(list)
    for index in indices:
        for slot in graph.equations[index].inputs:
            found[slot].append(index)
    return found


def _transposes(
    graph: Graph, indices: list[int], known: Known, own: References
) -> Iterator[tuple[Read, Named]]:
    for slot, readers in _slots(graph, indices).items():
        value = graph.values[slot]
        if isinstance(value, np.ndarray) and value.ndim == 2 and len(set(value.shape)) == 1:
            named = Named("transposed", "a matrix has to be transposed there")
            yield {(i, slot): value.T for i in readers}, named


def _shorter(
    graph: Graph, indices: list[int], known: Known, own: References
) -> Iterator[tuple[Read, Named]]:
    """Steps of a line left out: a constant that is added, say."""
    alike: dict[Any, list[int]] = defaultdict(list)
    for index in indices:
        alike[graph.equations[index].name].append(index)
    for name, group in alike.items():
        read: Read = {}
        for index in group:
            equation = graph.equations[index]
            (out,) = equation.outputs[:1]
            shape = np.shape(graph.values[out])
            for slot in equation.inputs:
                if slot in graph.maker and np.shape(graph.values[slot]) == shape:
                    read.update({(i, out): graph.values[slot] for i in graph.readers[out]})
                    break
        if read and name in ("add", "sub"):
            yield read, _constant_left(graph, group, known)
        elif read and name == "neg":
            yield read, Named("sign_flipped", "the sign is wrong there")


def _signs(
    graph: Graph, indices: list[int], known: Known, own: References
) -> Iterator[tuple[Read, Named]]:
    """Other signs of the terms in the sums of a line, the same at every turn of a loop."""
    groups = graph.groups(i for i in indices if graph.equations[i].name in ("add", "sub"))
    for operands in itertools.product((None, 0, 1), repeat=min(len(groups), 3)):
        read: Read = {}
        chosen = zip(groups, operands, strict=False)
        for group, operand in ((g, o) for g, o in chosen if o is not None):
            for index in group:
                inputs = graph.equations[index].inputs
                if operand >= len(inputs):
                    continue  # The other is a number.
                slot = inputs[operand]
                value = graph.values[slot]
                if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size > 1:
                    read[index, slot] = -value
        if read:
            yield read, Named("sign_flipped", "a term has the wrong sign there")


def _constant_left(graph: Graph, group: list[int], known: Known) -> Named:
    """Is it a constant of the loss that is taken away again, or one that is added?"""
    inputs = [s for i in group for s in graph.equations[i].inputs if s in graph.maker]
    if all(known.references.match(graph.values[s], ("value",)) for s in inputs):
        return Named("constant_omitted", "a constant of the forward pass is left out")
    return Named("extra_term", "a constant is added that does not belong there")


def _others(
    graph: Graph, indices: list[int], known: Known, own: References
) -> Iterator[tuple[Read, Named]]:
    """Another value for an operand."""
    for slot, readers in _slots(graph, indices).items():
        value = graph.values[slot]
        # A single number would do for many reasons.
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub" or value.size < 2:
            continue
        for reference in _alternatives(value, known, own):
            array = reference.array.reshape(value.shape).astype(value.dtype)
            # Places shifted by a constant are those of a wrapped index.
            shifted = value.dtype.kind in "iu" and not np.ptp(array - value)
            if not shifted and not same(array, value):
                yield {(i, slot): array for i in readers}, _named(value, reference, known)


def _others_at_every_turn(
    graph: Graph, indices: list[int], known: Known, own: References
) -> Iterator[tuple[Read, Named]]:
    """Another value of the loss for an operand, at every turn of a loop its own."""
    for group in graph.groups(indices):
        operands = zip(*(graph.equations[i].inputs for i in group), strict=True)
        for slots in operands if len(group) > 1 else ():
            values = [graph.values[slot] for slot in slots]
            first = values[0]
            if len(set(slots)) == 1 or not isinstance(first, np.ndarray) or first.size < 2:
                continue
            seen: set[Any] = set()
            for reference in known.references.of_size(first.size):
                family = known.references.family(reference)
                alike = reference.array.shape == first.shape and len(family) == len(group)
                if not alike or reference.family in seen:
                    continue
                seen.add(reference.family)
                named = _named(first, family[-1], known)
                for order in (family, family[::-1]):
                    arrays = zip(group, slots, order, strict=True)
                    yield {(i, slot): r.array for i, slot, r in arrays}, named


def _alternatives(value: np.ndarray, known: Known, own: References) -> Iterator[Reference]:
    for references in (known.references, own):
        for reference in references.of_size(value.size):
            if np.squeeze(reference.array).shape == np.squeeze(value).shape:
                yield reference


def _named(value: np.ndarray, reference: Reference, known: Known) -> Named:
    """What it is called to use a value where the reference belongs."""
    right = np.asarray(reference.array, float).reshape(value.shape)
    old = known.references.match(value)
    if old is not None and old.reference.kind == reference.kind == "gradient":
        activation = known.activation(reference.array, old.reference.slot)
        if activation:
            story = f"the derivative by the output of {activation}, not by its input, is used"
            return Named("missing_activation_derivative", story)
        if known.leads_to(reference.slot, old.reference.slot):
            story = f"the derivative by what is computed of it ({old.reference.about}) is used"
            return Named("chain_step_missing", f"{story}: a step is missing")
    shift = right - value
    if (
        old is not None
        and value.size > 1
        and shift.all()
        and distinct_numbers(shift) == 1
        and not np.ptp(shift) > 1e-9
    ):
        return Named("constant_omitted", f"the constant {shift.ravel()[0]:.6g} is left out")
    instead = f" and not {told(old.reference)}" if old else ""
    return Named("wrong_value", f"{told(reference)} belongs there{instead}")
