"""Operands of a line: another value, another sign, one less, two exchanged, one of a square."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from compare.diagnosis.hypotheses import distinct_numbers
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.mending.line import (
    SUMS,
    Column,
    Line,
    Read,
    alternatives,
    columns,
    in_stead,
    slots,
)
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.references import Reference, can_be
from compare.diagnosis.watching.spots import Known, Named, told
from compare.trees import in_double

__all__ = [
    "others",
    "others_at_every_turn",
    "products",
    "shifted",
    "shorter",
    "signs",
    "swapped",
    "transposes",
    "turned_kernels",
]


def transposes(line: Line) -> Iterator[tuple[Read, Named]]:
    """Transposes one square matrix of a line."""
    for slot, readers in slots(line).items():
        value = line.graph.values[slot]
        if isinstance(value, np.ndarray) and value.ndim == 2 and len(set(value.shape)) == 1:
            named = Named("transposed", "a matrix has to be transposed there")
            if all(line.graph.equations[i].name in SUMS for i in readers):
                named = Named("summed_wrongly", "the sum should be over the other axis")
            yield {(i, slot): value.T for i in readers}, named


def shorter(line: Line) -> Iterator[tuple[Read, Named]]:
    """Leaves out a step of a line: a constant that is added, say."""
    graph = line.graph
    alike: dict[Any, list[int]] = defaultdict(list)
    for index in line.indices:
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
            yield read, _left_out(graph, group, line.known)
        elif read and name == "neg":
            yield read, Named("sign_flipped", "the sign is wrong there")


def signs(line: Line) -> Iterator[tuple[Read, Named]]:
    """Gives other signs to the terms in the sums of a line, the same at every turn of a loop."""
    graph = line.graph
    groups = graph.groups(i for i in line.indices if graph.equations[i].name in ("add", "sub"))
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


def _left_out(graph: Graph, group: list[int], known: Known) -> Named:
    """Is it a constant of the loss that is taken away again, or something that is added?"""
    (first, *_), (operands, *_) = zip(*((i, graph.equations[i].inputs) for i in group), strict=True)
    old = known.references.match(graph.values[operands[0]], ("value",))
    added = [s for s in operands[1:] if np.size(graph.values[s]) > 1]
    if old and old.exact and added and graph.equations[first].name == "sub":
        story = f"{told(old.reference)} belongs there, as it was before something was taken from it"
        return Named("wrong_value", story)
    inputs = [s for i in group for s in graph.equations[i].inputs if s in graph.maker]
    if all(known.references.match(graph.values[s], ("value",)) for s in inputs):
        return Named("constant_omitted", "a constant of the forward pass is left out")
    return Named("extra_term", "a constant is added that does not belong there")


def swapped(line: Line) -> Iterator[tuple[Read, Named]]:
    """Exchanges two values of a line wherever it reads them."""
    values, read_at = line.graph.values, columns(line)
    for one, other in itertools.combinations(read_at, 2):
        here, there = [values[s] for s in one], [values[s] for s in other]
        alike = len(one) == len(other) and here[0].shape == there[0].shape
        if not alike or any(same(a, b) for a, b in zip(here, there, strict=True)):
            continue
        read = in_stead(one, read_at[one], there) | in_stead(other, read_at[other], here)
        yield read, Named("wrong_value", f"two values have changed places: {_called(line, one)} "
                          f"and {_called(line, other)}")  # fmt: skip


def _called(line: Line, column: Column) -> str:
    match = line.known.references.match(line.graph.values[column[0]])
    return told(match.reference) if match and match.exact else "a value of its own"


def products(line: Line) -> Iterator[tuple[Read, Named]]:
    """Puts another value for one of the two factors of a square."""
    graph = line.graph
    for index in line.indices:
        equation = graph.equations[index]
        if len(equation.outputs) != 1 or not equation.inputs:
            continue
        (out,), first = equation.outputs, equation.inputs[0]
        value = graph.values[first]
        square = (
            equation.inputs == (first, first)
            or equation.name == "square"
            or (equation.name == "integer_pow" and equation.params.get("y") == 2)
        )
        if not square or not isinstance(value, np.ndarray) or value.size < 2:
            continue
        for reference in alternatives(value, line):
            other = reference.array.reshape(value.shape)
            if not same(other, value):
                story = f"a square stands where {told(reference)} is one of the factors"
                yield (
                    {(i, out): value * other for i in graph.readers[out]},
                    Named("wrong_value", story),
                )


def others(line: Line) -> Iterator[tuple[Read, Named]]:
    """Puts another value for an operand."""
    for slot, readers in slots(line).items():
        value = line.graph.values[slot]
        # A single number would do for many reasons.
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub" or value.size < 2:
            continue
        for reference in alternatives(value, line):
            if _says_nothing(slot, reference, line):
                continue
            array = reference.array.reshape(value.shape).astype(value.dtype)
            # Places shifted by a constant are those of a wrapped index.
            shifted = value.dtype.kind in "iu" and not np.ptp(array - value)
            if not shifted and not same(array, value):
                yield {(i, slot): array for i in readers}, _named(value, reference, line.known)


def others_at_every_turn(line: Line) -> Iterator[tuple[Read, Named]]:
    """Puts a value of the loss for an operand, at every turn of a loop its own."""
    graph, known = line.graph, line.known
    for group in graph.groups(line.indices):
        operands = zip(*(graph.equations[i].inputs for i in group), strict=True)
        for column in operands if len(group) > 1 else ():
            values = [graph.values[slot] for slot in column]
            first = values[0]
            if len(set(column)) == 1 or not isinstance(first, np.ndarray) or first.size < 2:
                continue
            for reference, arrays in _at_turns(first, len(group), known):
                if _says_nothing(column[0], reference, line):
                    continue
                for order in (arrays, arrays[::-1]):
                    turns = zip(values, order, strict=True)
                    # A turn at which nothing changes says nothing of the mistake.
                    changed = next(
                        ((own, other) for own, other in turns if not same(other, own)), None
                    )
                    if changed is not None:
                        named = _named(changed[0], reference._replace(array=changed[1]), known)
                        read = zip(group, column, order, strict=True)
                        yield {(i, slot): array for i, slot, array in read}, named


def _at_turns(
    first: np.ndarray, count: int, known: Known
) -> Iterator[tuple[Reference, list[np.ndarray]]]:
    """Values of the loss of one shape, one for each turn of a loop; or the rows of one."""
    seen: set[Any] = set()
    for reference in known.references.of_size(first.size):
        family = known.references.family(reference)
        alike = reference.array.shape == first.shape and len(family) == count
        if alike and can_be(reference.array, first) and reference.family not in seen:
            seen.add(reference.family)
            yield family[-1], [own.array for own in family]
    for reference in known.references.of_size(first.size * count):
        rows = [*reference.array] if reference.array.ndim else []
        alike = len(rows) == count and rows[0].shape == first.shape
        if alike and reference.kind == "value" and can_be(reference.array, first):
            yield reference._replace(array=rows[0]), rows


def shifted(line: Line) -> Iterator[tuple[Read, Named]]:
    """Lets a slice begin elsewhere, the same at every turn of a loop."""
    graph = line.graph
    for group in graph.groups(i for i in line.indices if graph.equations[i].name in _SLICES):
        pairs = [(i, graph.equations[i].inputs[0]) for i in group]
        whole = graph.values[pairs[0][1]]
        part = graph.values[graph.equations[group[0]].outputs[0]]
        if np.ndim(part) != np.ndim(whole) or part.dtype.kind != "f" or part.size < 2:
            continue
        spare = [n - m for n, m in zip(whole.shape, part.shape, strict=True)]
        if math.prod(2 * n + 1 for n in spare) * len(group) > _MOST_SHIFTS:
            continue
        for shift in itertools.product(*(range(-n, n + 1) for n in spare)):
            if any(shift):
                read: Read = {}
                for index, slot in pairs:
                    # What an earlier turn hands on is another slice as well.
                    given = graph.run({}, [slot], read)[slot]
                    read[index, slot] = np.roll(given, shift, tuple(range(len(shift))))
                yield read, Named("wrong_places", "a slice that begins elsewhere belongs there")


def turned_kernels(line: Line) -> Iterator[tuple[Read, Named]]:
    """Turns a kernel of a convolution round."""
    graph = line.graph
    for group in graph.groups(i for i in line.indices if graph.equations[i].name in _CONVOLVING):
        for operand, _ in enumerate(graph.equations[group[0]].inputs):
            slots_read = [(i, graph.equations[i].inputs[operand]) for i in group]
            yield (
                {(i, slot): np.flip(graph.values[slot]) for i, slot in slots_read},
                Named("kernel_flipped", "a kernel has to be turned round there"),
            )


_CONVOLVING = ("convolve", "correlate", "convolve2d", "correlate2d")
_SLICES = ("item", "slice")

_MOST_SHIFTS = 256


def _says_nothing(slot: int, reference: Reference, line: Line) -> bool:
    """Whether the right derivative would mend an operand however it was computed.

    Of what the candidate computed and nothing recognises, that it should be what it should be is
    no mistake's name.
    """
    is_derivative = reference.kind in ("gradient", "term")
    computed = slot in line.graph.maker
    return is_derivative and computed and not line.known.references.match(line.graph.values[slot])


def _named(value: np.ndarray, reference: Reference, known: Known) -> Named:
    """What it is called to use a value where the reference belongs."""
    right = in_double(reference.array).reshape(value.shape)
    old = known.references.match(value)
    if old is not None and old.reference.kind == reference.kind == "gradient":
        activation = known.activation(reference.array, old.reference.slot)
        if activation:
            story = f"the derivative by the output of {activation}, not by its input, is used"
            return Named("missing_activation_derivative", story)
        if known.leads_to(reference.slot, old.reference.slot):
            story = f"the derivative by {old.reference.about} is used, and the step back to "
            return Named("chain_step_missing", f"{story}{reference.about} is missing")
    if old is not None and old.exact and _is_whole(reference, old.reference, known):
        return Named("path_cut", f"{told(old.reference)} is used, and its other terms are left out")
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


def _is_whole(reference: Reference, term: Reference, known: Known) -> bool:
    """Whether a derivative has the numbers of that by the value of which the other is one term."""
    return (term.kind, reference.kind) == ("term", "gradient") and any(
        own.kind == "gradient" and own.slot == term.slot and same(own.array, reference.array)
        for own in known.references.of_size(reference.array.size)
    )
