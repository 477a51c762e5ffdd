"""Where on a tape each mistake can be made: at one line, at every line of a kind, or at a pair.

Nothing here looks at the candidate's numbers: `diagnosis` runs the suspects and keeps the one that
gives the same.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.backward import Backward, Edge, Place, Rule
from compare.diagnosis.case import near
from compare.diagnosis.mistakes import (
    LAST_MISTAKES,
    MISTAKES,
    Mistake,
    display_name,
    is_broadcast,
    is_factor,
    other_input,
    sum_broadcast,
    without_factor,
)
from compare.diagnosis.suspecting.places import Places
from compare.diagnosis.tape import Tape
from compare.trees import largest

__all__ = ["Suspect", "added_to_the_loss", "first_met", "pairs", "suspects"]


class Suspect(NamedTuple):
    """One mistake at one or several places.

    Attributes:
        slug: the name of the bug.
        rules: which pullbacks change, and how.
        story: what was done wrong, to follow "jax.grad's own backward pass with ...".
        if_cut: the story for what is left out, if the candidate has not computed it; else "".
    """

    slug: str
    rules: Mapping[Place, Rule]
    story: str
    if_cut: str = ""


def _factor_suspect(tape_places: Places, edge: Edge) -> tuple[str, str]:
    """What a left-out factor is called: a scale, dropout's scale, or just a factor."""
    index = tape_places.backward.tape.equations.index(edge.equation)
    constant = not tape_places.backward.tape.leaves_of[edge.equation.inputs[1 - edge.operand]]
    if constant and other_input(edge).size == 1:
        if tape_places.is_mean(edge):
            return "constant_factor", f"a mean's division by {other_input(edge).item():g} left out"
        near = tape_places.touches_random(index)
        number = f"the constant {other_input(edge).item():.6g}"
        verb = "factor" if edge.equation.name == "mul" else "divisor"
        slug = "dropout_scale_missing" if near else "scale_omitted"
        return slug, f"the {verb} {number} left out"
    factor = other_input(edge)
    # Zeros, ones and nothing else.
    if constant and not np.any(factor * (factor - 1)) and 0 < np.sum(factor) < factor.size:
        return "mask_missing", "the mask of zeros and ones left out"
    if _fewer(factor, edge.value):
        return "scale_omitted", "the scale that multiplies each feature left out"
    return "missing_factor", "the other factor of a product left out"


def _fewer(scale: np.ndarray, x: np.ndarray) -> bool:
    return 0 < scale.size < x.size


def suspects(backward: Backward, first: int = 0, *, cuts: bool = True) -> Iterator[Suspect]:
    """Every single mistake, the likeliest names first: at one line, then at all lines of a kind.

    Args:
        backward: of the loss.
        first: the first equation of those where it may be made.
        cuts: whether to give those that leave a path out.
    """
    places = Places(backward, first)
    groups = [places.units, [k for k in places.kinds() if len(k) > 1]]
    for group in groups:
        yield from _local(places, group, MISTAKES)
        if group is groups[0] and cuts:
            yield from _structural(places)
            yield from _cuts(places)
        yield from _factors(places, group)
        if group is groups[0]:
            yield from _chains(places)
        yield from _signs(places, group)
        yield from _local(places, group, LAST_MISTAKES)


def first_met(tape: Tape, paths: Iterable[str]) -> int:
    """Finds the first equation at which a mistake that spoils all these leaves can be met first.

    On the way back the last turn of a loop is met before the others.
    """
    last = {e.step[0]: e.step[1] for e in tape.equations if e.step is not None}
    rest = set(paths)
    for index, equation in enumerate(tape.equations):
        rest -= frozenset().union(*(tape.leaves_of[slot] for slot in equation.inputs))
        if not rest and (equation.step is None or last[equation.step[0]] == equation.step[1]):
            return index
    return 0


def _local(
    places: Places, groups: Iterable[tuple[Place, ...]], mistakes: tuple[Mistake, ...]
) -> Iterator[Suspect]:
    groups = list(groups)
    for mistake in mistakes:
        for group in groups:
            fitting = [place for place in group if mistake.fits(places.edges[place])]
            if fitting:
                edge = places.edges[fitting[0]]
                rules = dict.fromkeys(fitting, mistake.rule)
                yield Suspect(mistake.slug(edge), rules, mistake.story(edge))


def _factors(places: Places, groups: Iterable[tuple[Place, ...]]) -> Iterator[Suspect]:
    for group in groups:
        fitting = [place for place in group if is_factor(places.edges[place])]
        if fitting:
            edge = places.edges[fitting[0]]
            slug, story = _factor_suspect(places, edge)
            yield Suspect(slug, dict.fromkeys(fitting, without_factor), story)
            if places.is_mask(edge.equation.inputs[1 - edge.operand]):
                rules = dict.fromkeys(fitting, lambda e: e.d_output * (other_input(e) != 0))
                yield Suspect("dropout_scale_missing", rules, "the mask without its 1/keep")


def _chains(places: Places) -> Iterator[Suspect]:
    """A product of three factors, γ c / s, is two equations: mistakes that concern both."""
    for (index, operand), edge in places.edges.items():
        (output,) = edge.equation.outputs[:1]
        readers = places.readers[output]
        if edge.equation.name != "mul" or len(readers) != 1:
            continue
        (top,) = readers
        equation = places.tape.equations[top]
        if equation.name not in ("mul", "div"):
            continue
        last = places.tape.values[equation.inputs[1 - equation.inputs.index(output)]]
        factor = 1 / last if equation.name == "div" else last
        yield Suspect(
            "missing_factor",
            {(index, operand): lambda e, f=factor: sum_broadcast(e.d_output / f, e.value.shape)},
            "the other factors of a product left out",
        )
        scale = edge.value
        if _fewer(scale, edge.output) and scale.all():
            without: Rule = lambda e, s=scale: e.pull(e.inputs, e.d_output / s)[e.operand]  # noqa: E731
            tops = [place for place in places.edges if place[0] == top]
            rules: dict[Place, Rule] = dict.fromkeys(tops, without)
            rules[(index, operand)] = lambda e: e.d_input * e.value
            yield Suspect("scale_omitted", rules, "the scale that multiplies each feature left out")


def _signs(places: Places, groups: Iterable[tuple[Place, ...]]) -> Iterator[Suspect]:
    """One term with the other sign; of two equal ones that is as if both were left out."""
    equal = _Equal(places)
    for group in groups:
        name = display_name(places.edges[group[0]].equation)
        if twins := equal.to(group):
            rules = dict.fromkeys([*group, *twins], _cut)
            yield Suspect("path_cut", rules, f"two equal paths cut, one of them through {name}")
            continue
        rules = dict.fromkeys(group, lambda edge: -edge.d_input)
        yield Suspect("sign_flipped", rules, f"the sign flipped at {name}")


class _Equal:
    """The places that add the same to the derivative of one value, as the two of x x do."""

    def __init__(self, places: Places):
        self._edges = places.edges
        self._uses: dict[Any, list[Place]] = defaultdict(list)
        for place in places.edges:
            self._uses[self._use(place)].append(place)

    def to(self, group: tuple[Place, ...]) -> list[Place]:
        """Finds one such place for each of a group; none where one of them has none."""
        found: list[Place] = []
        same_line = {*group}
        for place in group:
            others = (p for p in self._uses[self._use(place)] if p not in same_line)
            own = self._edges[place]
            twin = next((p for p in others if self._are_equal(own, self._edges[p])), None)
            if twin is None:
                return []
            found.append(twin)
        return found

    def _use(self, place: Place) -> tuple[Any, ...]:
        """Which value is used, at which turn of a loop."""
        equation = self._edges[place].equation
        return equation.inputs[place[1]], equation.step

    @staticmethod
    def _are_equal(one: Edge, other: Edge) -> bool:
        limit = 1e-9 * largest(one.d_input)
        return bool(limit) and near(one.d_input, other.d_input, limit)


def _cut(edge: Edge) -> np.ndarray:
    return np.zeros_like(edge.d_input)


def _structural(places: Places) -> Iterator[Suspect]:
    """Penalties, time steps, and values that are used more than once."""
    yield from _penalties(places)
    yield from _truncations(places)
    yield from _overwritten_steps(places)
    yield from _overwritten(places)


def _penalties(places: Places) -> Iterator[Suspect]:
    """A square or an absolute value of one leaf, whose sum is added to the loss."""
    leaves = set(places.tape.leaves.values())
    added = added_to_the_loss(places.tape)
    squares = [
        place
        for place, edge in places.edges.items()
        if edge.equation.name in ("integer_pow", "square", "mul", "abs", "dot_general")
        and len(set(edge.equation.inputs)) == 1
        and edge.equation.inputs[0] in leaves
        and edge.equation.outputs[0] in added
    ]
    if squares:
        story = "the penalty on the weights left out"
        yield Suspect("missing_weight_decay", dict.fromkeys(squares, _cut), story)
        for slot in dict.fromkeys(places.edges[place].equation.inputs[0] for place in squares):
            own = [p for p in squares if places.edges[p].equation.inputs[0] == slot]
            yield Suspect("missing_weight_decay", dict.fromkeys(own, _cut), story)


_LINEAR = frozenset(
    "add add_any sub neg copy reshape squeeze broadcast_in_dim reduce_sum convert_element_type "
    "concatenate stack".split()
)


def added_to_the_loss(tape: Tape) -> set[int]:
    """Finds the slots whose entries, each times a constant, are added up to the loss."""
    added = {tape.loss}
    for equation in reversed(tape.equations):
        if not added & set(equation.outputs):
            continue
        if equation.name in _LINEAR:
            added.update(equation.inputs)
        elif equation.name in ("mul", "div"):
            own = [slot for slot in equation.inputs if tape.leaves_of[slot]]
            if len(own) == 1 and (equation.name == "mul" or own[0] == equation.inputs[0]):
                added.update(own)
    return added


def _truncations(places: Places) -> Iterator[Suspect]:
    tape = places.tape
    for scan in {number for number, _, _ in tape.carries}:
        handed = {
            place: equation.step[1]
            for place in places.edges
            if (equation := tape.equations[place[0]]).name == "copy"
            and equation.step
            and equation.step[0] == scan
        }
        stacked = [p for p in places.edges if tape.equations[p[0]].name == "stack"]
        last = max(turn for number, turn, _ in tape.carries if number == scan)
        inner = [place for place, turn in handed.items() if turn < last]
        if not inner:
            continue
        story = "nothing carried back from one time step to the one before"
        yield Suspect("time_steps_truncated", dict.fromkeys(inner, _cut), story)
        for kept in range(1, last + 1):
            cut = [place for place, turn in handed.items() if turn == last - kept]
            story = f"the gradient stopped after the last {kept} of {last + 1} time steps"
            yield Suspect("time_steps_truncated", dict.fromkeys(cut, _cut), story)
            outputs = [place for place in stacked if place[1] <= last - kept]
            rules = dict.fromkeys([*cut, *outputs], _cut)
            yield Suspect("time_steps_truncated", rules, story)


def _overwritten_steps(places: Places) -> Iterator[Suspect]:
    """Parameters used at every step of a scan, of which one step's share is kept."""
    tape, leaves = places.tape, set(places.tape.leaves.values())
    by_step: dict[int, dict[int, list[Place]]] = defaultdict(lambda: defaultdict(list))
    for place, edge in places.edges.items():
        step = edge.equation.step
        if step and edge.equation.inputs[edge.operand] in leaves:
            by_step[step[0]][step[1]].append(place)
    for steps in by_step.values():
        names = [*tape.leaves.values()]
        for chosen in [leaves, *({slot} for slot in names)]:
            for kept in (min(steps), max(steps)):
                dropped = [
                    place
                    for step, own in steps.items()
                    if step != kept
                    for place in own
                    if tape.equations[place[0]].inputs[place[1]] in chosen
                ]
                if dropped:
                    story = f"only time step {kept} kept in the sum over time steps"
                    rules = dict.fromkeys(dropped, _cut)
                    yield Suspect("overwritten_not_accumulated", rules, story)


def _uses(places: Places) -> dict[int, list[tuple[Place, ...]]]:
    """For each slot the units that read it, where there are several."""
    uses: dict[int, list[tuple[Place, ...]]] = defaultdict(list)
    for unit in places.units:
        for place in unit:
            slot = places.tape.equations[place[0]].inputs[place[1]]
            uses[slot].append((place,))
    return {slot: own for slot, own in uses.items() if len(own) > 1}


_STATISTICS = ("reduce_", "mean", "var", "std", "square", "integer_pow", "argm", "cum")


def _is_statistic(edge: Edge) -> bool:
    return edge.equation.name.startswith(_STATISTICS)


def _overwritten(places: Places) -> Iterator[Suspect]:
    """A value used several times, of which one use is kept; statistics are paths of their own."""
    for own in _uses(places).values():
        if any(_is_statistic(places.edges[unit[0]]) for unit in own):
            continue
        for kept in range(len(own)):
            dropped = [place for i, unit in enumerate(own) if i != kept for place in unit]
            name = display_name(places.edges[own[kept][0]].equation)
            rules, count = dict.fromkeys(dropped, _cut), len(own)
            yield Suspect(
                "overwritten_not_accumulated",
                rules,
                f"only the last of {count} uses of a value kept, that by {name}",
                if_cut=f"{count - 1} of {count} uses of a value left out, all but that by {name}",
            )


def _cuts(places: Places) -> Iterator[Suspect]:
    for unit in places.units:
        edge = places.edges[unit[0]]
        story = f"the path through {display_name(edge.equation)} cut at operand {edge.operand}"
        yield Suspect("path_cut", dict.fromkeys(unit, _cut), story)


def pairs(backward: Backward) -> Iterator[Suspect]:
    """Two paths cut at once: the mean and the variance of a normalisation."""
    places = Places(backward)
    statistics = [
        unit
        for unit in places.units
        if is_broadcast(places.edges[unit[0]])
        or (
            is_factor(places.edges[unit[0]])
            and _fewer(places.edges[unit[0]].value, places.edges[unit[0]].output)
        )
        or _is_statistic(places.edges[unit[0]])
    ]
    for one, other in itertools.combinations(statistics, 2):
        rules = dict.fromkeys([*one, *other], _cut)
        if _is_normalisation(places, one[0], other[0]):
            story = "the mean and the variance of a normalisation taken as constants"
            yield Suspect("normalisation_terms_missing", rules, story)
        else:
            yield Suspect("path_cut", rules, "two paths cut")


def _is_normalisation(places: Places, one: Place, other: Place) -> bool:
    """Whether both cut what is computed of one array's sums, of which one divides what is left."""
    tape = places.tape
    sums = []
    for index, operand in (one, other):
        equation = tape.equations[index]
        reduces = equation.name.startswith(_REDUCTIONS)
        sums.append(_summed(tape, equation.outputs[0] if reduces else equation.inputs[operand]))
    return bool(sums[0] & sums[1]) and bool(_names_after(tape, one) & _DIVIDING)


_DIVIDING = frozenset({"div", "rsqrt", "sqrt", "pow"})


def _names_after(tape: Tape, place: Place) -> set[str]:
    """The names of the equations that depend on this one, and its own."""
    reached = set(tape.equations[place[0]].outputs)
    names = {tape.equations[place[0]].name}
    for equation in tape.equations[place[0] + 1 :]:
        if reached & set(equation.inputs):
            reached.update(equation.outputs)
            names.add(equation.name)
    return names


def _summed(tape: Tape, slot: int) -> set[int]:
    """The arrays that a slot comes from by way of a sum or a mean."""
    makers = {out: equation for equation in tape.equations for out in equation.outputs}
    found: set[int] = set()
    open_, seen = [slot], set()
    while open_:
        now = open_.pop()
        if now in seen or now not in makers:
            continue
        seen.add(now)
        found.update(makers[now].inputs)
        open_ += makers[now].inputs
    reduced = any(makers[s].name.startswith(_REDUCTIONS) for s in seen)
    return {s for s in found | {slot} if tape.leaves_of[s]} if reduced else set()


_REDUCTIONS = ("reduce_", "mean", "var", "std", "dot_general", "cum")
