"""The values that a right backward pass is made of, and how to recognise them.

In float64 at random points no two of them agree by chance: what has the numbers of ∂L/∂z, in
whatever shape and times whatever number, is ∂L/∂z.
"""

import bisect
import functools
import itertools
import math
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.backward import Backward, Place
from compare.diagnosis.case import near
from compare.diagnosis.expressions import source_of
from compare.diagnosis.mistakes import display_name, is_elementwise
from compare.diagnosis.tape import Equation, Tape
from compare.trees import called, in_double, largest

__all__ = [
    "KINDS",
    "Match",
    "Reference",
    "References",
    "can_be",
    "informative",
    "is_called_so",
    "references_of",
]

CLOSE = 1e-9
"""Relative to the largest entry: far above rounding in float64, far below any mistake."""


MOST_SORTED = 2**5
"""Entries; larger arrays are recognised by their sum of squares."""

KINDS = ("gradient", "value", "term", "slope", "conjugate")


class Reference(NamedTuple):
    """A value of the loss or of its right derivative.

    Attributes:
        kind: `value` of the forward pass, `gradient` (∂L/∂ a value), `term` (one use's share of
            it), `slope` (the derivative of an elementwise function) or `conjugate` (of a complex
            gradient: what PyTorch calls the gradient).
        slot: whose value or derivative it is.
        array: the numbers.
        site: the line of the loss.
        about: what it belongs to, such as `tanh`.
        family: equal for the same thing at other turns of a loop.
        named: whether a person gave it the name that `about` is.
    """

    kind: str
    slot: int
    array: np.ndarray
    site: str
    about: str
    family: Any
    named: bool = False


class Match(NamedTuple):
    """What a value is: a reference, in another order of axes or times a number.

    Attributes:
        reference: what it is.
        axes: the order of axes that makes the reference the value; None where it is its own, or
            the value has another shape with the same entries in the same order.
        factor: what the reference is multiplied by.
    """

    reference: Reference
    axes: tuple[int, ...] | None
    factor: float

    @property
    def exact(self) -> bool:
        """Whether it is the reference itself."""
        return self.axes is None and self.factor == 1


def informative(value: np.ndarray) -> bool:
    """Tells whether numbers say where they come from: not if they are all equal, or 0, ±1, ½.

    Nor do those say it of which one is not finite.
    """
    if value.size == 0 or value.dtype.kind not in "fiuc":
        return False
    if value.dtype.kind == "c":
        return bool(np.isfinite(value).all()) and largest(value - value.flat[0]) > CLOSE * largest(
            value
        )
    if value.size == 1:
        number = abs(float(value.reshape(())))
        is_telling = value.dtype.kind == "f" and math.isfinite(number)
        return is_telling and number * 2520 != round(number * 2520)
    low, high = float(value.min()), float(value.max())
    return high - low > CLOSE * max(high, -low)


def can_be(numbers: np.ndarray, value: np.ndarray) -> bool:
    """Tells whether numbers can stand in for a value: complex ones only for such."""
    return np.iscomplexobj(value) or not np.iscomplexobj(numbers)


class References:
    """References, found by their numbers."""

    def __init__(self, references: Iterable[Reference]):
        self._given = references
        self._telling: dict[int, list[int]] = {}
        self._profiles: dict[int, tuple[np.ndarray, float]] = {}
        self._moments: dict[int, list[tuple[float, int]]] = {}

    @functools.cached_property
    def all(self) -> list[Reference]:
        """Every reference, made when the first is asked for."""
        return [*self._given]

    @functools.cached_property
    def _families(self) -> dict[Any, list[Reference]]:
        families: dict[Any, list[Reference]] = defaultdict(list)
        for reference in self.all:
            families[reference.family].append(reference)
        return families

    @functools.cached_property
    def _of_size(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for i, reference in enumerate(self.all):
            found[reference.array.size].append(i)
        return found

    def _by_size(self, size: int) -> list[int]:
        """The informative ones, looked at when the first of their size is asked for."""
        if size not in self._telling:
            self._telling[size] = [
                i for i in self._of_size.get(size, ()) if informative(self.all[i].array)
            ]
        return self._telling[size]

    def of_size(self, size: int) -> list[Reference]:
        """Every informative reference of so many entries."""
        return [self.all[i] for i in self._by_size(size)]

    def like(self, value: np.ndarray) -> list[Reference]:
        """Every informative reference of the size of a value, those with as many zeros first."""
        zeros = np.sum(value == 0)
        return sorted(
            self.of_size(value.size), key=lambda r: abs(int(np.sum(r.array == 0)) - int(zeros))
        )

    def family(self, reference: Reference) -> list[Reference]:
        """The reference at every turn of a loop, in the loop's order, where it has this shape."""
        shape = reference.array.shape
        return [own for own in self.loop(reference) if own.array.shape == shape]

    def loop(self, reference: Reference) -> list[Reference]:
        """The reference at every turn of a loop, in the loop's order, of whatever shape."""
        return self._families[reference.family]

    def uses(self, size: int) -> Iterator[Reference]:
        """Lists what the uses of one value at every turn of a loop give its derivative together."""
        seen: set[Any] = set()
        for reference in self.of_size(size):
            turns = self.family(reference) if reference.kind == "term" else []
            if reference.family in seen or len(turns) < 2:
                continue
            seen.add(reference.family)
            if {own.slot for own in turns} == {reference.slot}:
                total = np.sum([own.array for own in turns], axis=0)
                yield reference._replace(array=total, family=("use", reference.family))

    def preferred(self, reference: Reference) -> Reference:
        """What a person would call it, of all references of its kind with the same numbers."""
        alike = [
            other
            for other in self.of_size(reference.array.size)
            if other.kind == reference.kind and np.array_equal(other.array, reference.array)
        ]
        return min(alike, key=_unfamiliarity, default=reference)

    def match(self, value: Any, kinds: tuple[str, ...] = KINDS) -> Match | None:
        """Recognises a value; None where it is nothing known of these kinds, or says nothing."""
        return min(self.matches(value, kinds), key=_rank, default=None)

    def matches(self, value: Any, kinds: tuple[str, ...] = KINDS) -> Iterator[Match]:
        """Everything that a value can be recognised as."""
        if not isinstance(value, np.ndarray | np.generic | int | float | complex):
            return  # A random key is none of the numbers.
        value = np.asarray(value)
        value = value.astype(int) if value.dtype.kind == "b" else value
        if not informative(value):
            return
        value = in_double(value)
        profile, scale = _profile(value)
        for i in self._like(value.size, profile, scale):
            if self.all[i].kind in kinds:
                found = _related(value, scale, self.all[i], scale / self._profiles[i][1])
                if found is not None:
                    yield found

    def _like(self, size: int, profile: np.ndarray, scale: float) -> Iterator[int]:
        """The references whose entries have the same sizes, but for one factor."""
        if size not in self._moments:
            profiles = {i: _profile(self.all[i].array) for i in self._by_size(size)}
            self._profiles.update(profiles)
            self._moments[size] = sorted(
                (_moment(size, *known), i) for i, known in profiles.items()
            )
        moments, wanted = self._moments[size], _moment(size, profile, scale)
        margin = CLOSE * (profile.size if size > 1 else wanted)
        first = bisect.bisect_left(moments, (wanted - margin, -1))
        for moment, i in moments[first:]:
            if moment > wanted + margin:
                return
            # Of one number the moment has said it.
            if profile.size == 1 or np.max(np.abs(profile - self._profiles[i][0])) <= CLOSE:
                yield i


def is_called_so(name: str, about: str) -> bool:
    """Tells whether a person calls a variable the derivative by another: `da` or `grad_a`."""
    own, other = (x.lower().replace("_", "") for x in (name, about))
    return own in {f"{of}{other}" for of in ("d", "g", "grad", "delta")}


def _moment(size: int, profile: np.ndarray, scale: float) -> float:
    """One number by which arrays with the same profile are found: a scalar's is its size."""
    return float(profile.sum()) if size > 1 else scale


def _rank(match: Match) -> tuple[Any, ...]:
    own = match.reference
    kind = KINDS.index(own.kind)
    return (match.factor != 1, match.axes is not None, kind, *_unfamiliarity(own))


def _unfamiliarity(reference: Reference) -> tuple[bool, int]:
    """Names come first, then the whole of an expression: ∂L/∂(x w + b) and not ∂L/∂(x w)."""
    of_gradient = reference.kind in ("gradient", "term", "conjugate")
    return not reference.named, -reference.slot if of_gradient else reference.slot


def _profile(array: np.ndarray) -> tuple[np.ndarray, float]:
    """What no order of the entries changes, relative to the largest, and that largest.

    The sorted sizes; of many, which take long to sort, the mean of their squares.
    """
    flat = in_double(array).ravel()
    scale = largest(flat)
    if flat.size <= MOST_SORTED:
        return np.sort(np.abs(flat) / scale), scale
    squares = np.vdot(flat, flat).real / scale / scale
    if not 0 < squares < math.inf:  # They are too small or too large.
        shares = flat / scale
        squares = np.vdot(shares, shares).real
    return np.array([squares / flat.size]), scale


def _related(value: np.ndarray, scale: float, reference: Reference, factor: float) -> Match | None:
    """The match, if the value, as large as `scale`, is the reference times ± this factor."""
    other = in_double(reference.array)
    if value.size == 1:
        # Any two numbers are multiples of each other.
        same = math.isclose(float(value.reshape(())), float(other.reshape(())), rel_tol=CLOSE)
        return Match(reference, None, 1.0) if same else None
    for axes in _orders(other.shape, value.shape):
        turned = other if axes is None else other.transpose(axes)
        if not _keeps_axes(turned.shape, value.shape):
            continue
        for number in (factor, -factor):
            if near(value, turned, CLOSE * scale, number):
                if value.size == 2 and abs(factor - 1) > CLOSE:
                    return None
                return Match(reference, axes, _neat(number))
    return None


def _keeps_axes(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a reshape splits and joins axes, and moves no entry from one axis to another.

    As it does where a transpose before it is forgotten: then axes end where others do not.
    """
    if shape == wanted or len(shape) < 2 or len(wanted) < 2:
        return True
    ends = sorted({*itertools.accumulate(shape, operator.mul),
                   *itertools.accumulate(wanted, operator.mul)})  # fmt: skip
    return all(other % one == 0 for one, other in itertools.pairwise(ends))


def _neat(number: float) -> float:
    whole = round(number)
    return float(whole) if whole and math.isclose(number, whole, rel_tol=1e-8) else number


def _orders(shape: tuple[int, ...], wanted: tuple[int, ...]) -> Iterator[tuple[int, ...] | None]:
    yield None
    if 1 < len(shape) <= 4:
        for axes in itertools.permutations(range(len(shape))):
            if axes != tuple(range(len(shape))):
                yield axes


def references_of(
    backward: Backward, variable: Callable[[str], str] = lambda site: ""
) -> Iterator[Reference]:
    """Lists what a right backward pass of a loss is made of.

    Args:
        backward: of the loss.
        variable: `variable(site)`: what the last result of the line is assigned to, or "".
    """
    tape, cotangents = backward.tape, backward.cotangents
    makers = {slot: e for e in tape.equations for slot in e.outputs}
    # The last result of a line is what the line assigns.
    last = {e.site: e.outputs[0] for e in tape.equations if e.site}
    names = {slot: variable(site) for site, slot in last.items()}
    names |= {slot: called(path) for path, slot in tape.leaves.items()}
    # What an expression comes to is what its last equation computes.
    whole = {(e.origin, e.step): e for e in tape.equations if e.origin is not None}
    written = {e.outputs[0]: source_of(e.origin) for e in whole.values()}

    def about_slot(slot: int, maker: Equation | None) -> str:
        known = "the loss" if slot == tape.loss else names.get(slot) or written.get(slot)
        return known or (display_name(maker) if maker else "")

    places, aside = _places(tape), _aside(tape)
    for slot, value in enumerate(tape.values):
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiubc":
            continue
        if slot in aside:
            continue
        maker = makers.get(slot)
        about = about_slot(slot, maker)
        site = maker.site if maker else ""
        family = places.get(slot, slot)
        numbers = value.astype(int) if value.dtype.kind == "b" else value
        own = bool(names.get(slot))
        yield Reference("value", slot, numbers, site, about, ("value", family), own)
        if slot in cotangents:
            gradient = cotangents[slot]
            yield Reference("gradient", slot, gradient, site, about, ("gradient", family), own)
            if np.iscomplexobj(gradient):
                other = gradient.conj()
                yield Reference("conjugate", slot, other, site, about, ("conjugate", family), own)
    for key, slots in _carried(tape).items():
        values = [tape.values[slot] for slot in slots]
        maker = makers.get(slots[-1])
        site, about = maker.site if maker else "", about_slot(slots[-1], maker)
        about = f"{about}, as each turn of the loop is given it"
        for slot, value in zip(slots, values, strict=True):
            yield Reference("value", slot, value, site, about, ("given", key))
        yield Reference("value", slots[-1], np.stack(values), site, about, ("all given", key))
    for (index, operand), term in backward.contributions.items():
        equation = tape.equations[index]
        slot = equation.inputs[operand]
        family = places.get(equation.outputs[0], equation.outputs[0]), operand
        maker, site = makers.get(slot), equation.site
        about = about_slot(slot, maker)
        own = bool(names.get(slot))
        if not np.array_equal(term, cotangents[slot]):
            yield Reference("term", slot, term, site, about, ("term", family), own)
        slope = _slope(backward, (index, operand))
        if slope is not None:
            about = display_name(equation)
            yield Reference("slope", slot, slope, site, about, ("slope", family), True)


def _aside(tape: Tape) -> set[int]:
    """The slots that the loss does not come from, as a residual that a forward pass computes.

    Nothing holds these to be right.
    """
    needed = {tape.loss}
    found: set[int] = set()
    for equation in reversed(tape.equations):
        if needed.isdisjoint(equation.outputs):
            found.update(equation.outputs)
        else:
            needed.update(equation.inputs)
    return found


def _carried(tape: Tape) -> dict[tuple[int, int], list[int]]:
    """The slots of numbers that each turn of a loop is given by the one before, by loop."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    position: dict[tuple[int, int], int] = defaultdict(int)
    for scan, turn, slot in tape.carries:
        found[scan, position[scan, turn]].append(slot)
        position[scan, turn] += 1

    def is_number(slot: int) -> bool:
        value = tape.values[slot]
        return isinstance(value, np.ndarray) and value.dtype.kind == "f"

    return {key: slots for key, slots in found.items() if all(map(is_number, slots))}


def _slope(backward: Backward, place: Place) -> np.ndarray | None:
    """The derivative of an elementwise function: what it multiplies ∂L/∂output by."""
    edge = backward.edge(place)
    return edge.slope(edge.value) if is_elementwise(edge) else None


def _places(tape: Tape) -> dict[int, Any]:
    """What the slots of one operation have in common at every turn of its loop."""
    found: dict[int, Any] = {}
    for equation in tape.equations:
        for i, slot in enumerate(equation.outputs):
            key = equation.source
            found[slot] = (key, equation.site, equation.name, i, np.ndim(tape.values[slot]))
    return found
