"""Runs a candidate once more, and says which of its lines can hold the mistake, and which it is."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from compare.diagnosis.backward import Backward
from compare.diagnosis.case import Case, Line
from compare.diagnosis.expressions import is_in_a_rule, source_of
from compare.diagnosis.hypotheses import batch_sizes, divisors
from compare.diagnosis.limits import Limit
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.locating.locate import Location, Locator, Target
from compare.diagnosis.mending.loops import run_the_wrong_way
from compare.diagnosis.mending.repairs import Repair, repairs
from compare.diagnosis.mending.written import in_vain, written
from compare.diagnosis.mistakes import display_name, is_activation
from compare.diagnosis.recording.idle import Idle
from compare.diagnosis.tape import Tape
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.handing import Handing, handing, misled_call, passing
from compare.diagnosis.watching.lines import (
    common_to,
    lines_at,
    misread,
    not_done_elsewhere,
    readers,
    sites_of,
    summands,
    unwritten,
    writing_over,
)
from compare.diagnosis.watching.listing import listing
from compare.diagnosis.watching.references import (
    Reference,
    References,
    references_of,
)
from compare.diagnosis.watching.relations import named
from compare.diagnosis.watching.sources import Sources
from compare.diagnosis.watching.spots import OVERWRITTEN, Known, Named, Spot, told
from compare.diagnosis.watching.watcher import graph_of, idle_lines
from compare.trees import called, is_key

__all__ = ["MOST_SUSPECTS", "TIME_LIMIT", "Watched", "lines_of_a_bug", "watch"]

TIME_LIMIT = 6.0
"""Seconds of work after which the search for the place ends with what is known by then."""

TIME_FOR_CHANGES = 3.0
"""Seconds of work for the changes of a line that would make it right."""

TIME_TO_RUN_AGAIN = 2.0
"""Seconds of work in which a candidate is run once more, for the functions that do nothing."""

MOST_SUSPECTS = 5

_IN_A_RULE = (
    "it can be in a jax.custom_vjp, whose lines are not known here: check that rule alone, with "
    "check_rule(f, *inputs)"
)


_NARROW_ALONE = (
    "no line is told: the lines are known by their values in float64, and the candidate computes "
    "in a narrower type alone"
)


class Watched(NamedTuple):
    """What watching a candidate found.

    Attributes:
        suspects: "file:line" of the candidate, the most likely first.
        named: what the mistake at each of the places is called; None where it has no name.
        listing: every line that computed something.
        reason: why there are no suspects, or not all of them; "" where there are.
        loses: `loses(numbers)`: whether it computed these in vain; None where it is not known.
    """

    suspects: tuple[str, ...]
    named: tuple[Named | None, ...] = ()
    listing: tuple[Line, ...] = ()
    reason: str = ""
    loses: Callable[[np.ndarray], bool] | None = None


def watch(case: Case, backward: Backward) -> Watched:
    """Finds the lines of the candidate that can hold the mistake; never raises."""
    try:
        with np.errstate(all="ignore"):  # What numbers do that are tried is nobody's concern.
            return _watch(case, backward, Limit(TIME_LIMIT))
    except Exception as error:  # Whatever a second run of a person's function may raise.
        why = f"the candidate could not be watched: {type(error).__name__}: {error}"
        return Watched((), reason=why.splitlines()[0])


def lines_of_a_bug(bug: str, suspects: tuple[str, ...]) -> tuple[str, ...]:
    """Puts the lines first that compute nothing and where such a mistake is made all the same.

    Args:
        bug: the name of the mistake.
        suspects: the lines that are suspected.

    Returns:
        At most five: the loops that leave out examples, the assignments to what was not read yet.
    """
    sources = Sources()
    told = {"dropped_examples": sources.loops, **dict.fromkeys(_TERM_MISSING, sources.overwriting)}
    first = [line for site in suspects for line in told.get(bug, lambda site: [])(site)]
    return tuple(dict.fromkeys([*first, *suspects]))[:MOST_SUSPECTS]


def _watch(case: Case, backward: Backward, limit: Limit) -> Watched:
    if case.candidate is None:
        return Watched((), reason=_NARROW_ALONE)
    graph = graph_of(case.candidate, case.paths(), limit)
    sources = Sources()
    references = References(references_of(backward, sources.last_variable))
    tape = backward.tape
    locator = Locator(
        case, graph, references, limit, lambda: float(tape.values[tape.loss]), sources.assigned
    )
    own = References(_own(graph, locator))
    known = _known(case, backward, locator, own)
    lines: list[str] = []
    names: list[Named | None] = []
    handings: list[Handing] = []
    for path, group in locator.zeros().items():
        lines += sites_of(graph, group)
        names.append(Named("path_cut", f"{called(path)} is left at zero"))
    idle = functools.cache(lambda: _idle_lines(case))
    locations = list(locator.locations())
    seen = [not _is_in_a_rule(graph, location) for location in locations]
    reason = "" if all(seen) else _IN_A_RULE
    locator.limit = Limit(TIME_FOR_CHANGES)
    for number, (location, is_seen) in enumerate(zip(locations, seen, strict=True)):
        others = _right(graph, (x for x in locations if x is not location))
        relation = _relation(locator, location, known, backward.tape, others)
        if not is_seen:
            names.append(relation if relation and locator.explains(location.target) else None)
            continue
        loop = run_the_wrong_way(locator, location, sources) if relation is None else ""
        if loop:
            names.append(Named("time_reversed", "the loop goes through the steps the wrong way"))
            lines += [loop, *lines_at(graph, location)]
            handings.append(Handing(loop, None, location.target.group))
            seen[number] = False
            continue
        mends = _first_of_lines(repairs(locator, location, known, own)) if relation is None else []
        if relation is not None and relation.bug == "chain_step_missing":
            location = location._replace(region=location.target.group)
        if mends and len(locations) > 1 and locator.mends(mends[0].read, case.leaves):
            # One change makes everything right: there is but one mistake.
            lines[:0], names = [mends[0].site], [mends[0].named]
            reason = ""
            break
        name = relation or (mends[0].named if mends else _should_be(location))
        names.append(name if name and locator.explains(location.target) else None)
        place = _Place(locator, location, sources, known, idle)
        shown, handing_on = _lines_to_blame(place, relation, mends, name)
        handings += handing_on
        seen[number] = not handing_on  # Else its numbers are right for what they are.
        lines += shown
    if len(locations) > 1 and not any(names) and all(seen):
        lines[:0] = common_to(graph, locations)  # One mistake explains all of them.
    suspects = tuple(dict.fromkeys(line for line in lines if line))[:MOST_SUSPECTS]
    wrong = [*itertools.compress(locations, seen)]
    lines_shown = listing(locator, wrong, suspects, sources, handings)
    reason = reason or ("" if suspects else "no line of it has a source")
    return Watched(suspects, tuple(names), lines_shown, reason, in_vain(graph))


class _Place(NamedTuple):
    """A place where a candidate is wrong, and what its lines are looked up by."""

    locator: Locator
    location: Location
    sources: Sources
    known: Known
    idle: Callable[[], Idle]


def _lines_to_blame(
    place: _Place, relation: Named | None, mends: list[Repair], name: Named | None
) -> tuple[list[str], list[Handing]]:
    """The lines that can be to blame for a place, the likeliest first.

    Args:
        place: where it is.
        relation: the name that the numbers give.
        mends: the changes that mend it, where they give none.
        name: that of the mistake, by whichever of these.

    Returns:
        The lines; and those of them that hand on or read what is right for what it is.
    """
    locator, location, sources, known, idle = place
    graph, handings = locator.graph, list[Handing]()
    shown = [*(repair.site for repair in mends), *lines_at(graph, location)]
    if relation is None:
        shown[1:1] = passing(idle().passed, locator, location)
    given_back: list[str] = []
    if name is not None and name.bug in _SOMETHING_MISSING:
        given_back = passing(idle().passed, locator, location)
        shown = [*given_back, *readers(locator, location), *shown]
    elif name is not None and name.bug in _TERM_MISSING:
        shown[1:1] = [*passing(idle().passed, locator, location), *summands(locator, location)]
    elif name is not None and name.bug == "chain_step_missing":
        given_back = passing(idle().passed, locator, location)
        shown = [*given_back, *shown]
    # What gives back what it is given is to blame, and not who calls with that.
    if not given_back and (not mends or (name is not None and name.bug in _OF_A_CALL)):
        calls = misled_call(locator, location, sources)
        shown[:0] = calls or not_done_elsewhere(locator, location, shown[:1])
        if calls:
            handings.append(Handing(calls[0], None, location.target.group))
    if name is None or name.bug in _TERM_MISSING:
        lost = sites_of(graph, graph.overwriting(location.region))
        writing = unwritten(locator, location, sources)
        zeros = sites_of(graph, location.innermost.group) if writing else []
        shown = [*writing, *lost, *(line for line in shown if line not in zeros)]
    if name is OVERWRITTEN:
        shown[:0] = writing_over(locator, location, known.written())
    reading = misread(locator, location)
    if reading:
        (line,) = {graph.equations[i].site for i in reading}
        handings.append(Handing(line, location.target.reference, reading))
        shown = [line, *shown]
    kept = locator.kept(location.target) if name and name.bug == "chain_step_missing" else ""
    on = sources.handing_on(graph.equations[location.target.group[-1]].site, kept)
    if on:
        handings.append(Handing(on, None, ()))
        shown = [on, *shown]
    found = None
    if name is None or name.bug in _HANDED_ON or _is_right_for_another(locator, location, name):
        found = handing(locator, location, idle().handed, sources)
    if found is not None:
        handings.append(found)
        shown = [found.site, *shown]
    return shown, handings


def _is_in_a_rule(graph: Graph, location: Location) -> bool:
    """Whether it can be in a rule whose lines are not known: then no other line is to blame."""
    own = (graph.equations[i] for i in location.region)
    return any(is_in_a_rule(equation.site, equation.origin) for equation in own)


def _should_be(location: Location) -> Named | None:
    """What can be said where nothing else can: which value of the loss belongs there."""
    reference = location.target.reference
    if reference is None or reference.kind != "value":
        return None
    return Named("wrong_value", f"it should be {told(reference)}")


def _first_of_lines(found: Iterator[Repair]) -> list[Repair]:
    """The simplest changes, one a line, of the first two lines."""
    kept: dict[str, Repair] = {}
    for repair in found:
        kept.setdefault(repair.site, repair)
        if len(kept) == 2:
            break
    return list(kept.values())


_SOMETHING_MISSING = ("missing_activation_derivative", "missing_factor", "mask_missing")
_OF_WHAT_IS_GIVEN = ("wrong_value", *_SOMETHING_MISSING)
_OF_A_CALL = (*_OF_WHAT_IS_GIVEN, "sign_flipped")
_TERM_MISSING = ("path_cut", "overwritten_not_accumulated")
# What a line that hands something on can lack; to find such lines takes another run.
_HANDED_ON = ("chain_step_missing", *_OF_WHAT_IS_GIVEN, *_TERM_MISSING)


def _is_right_for_another(locator: Locator, location: Location, name: Named) -> bool:
    """Whether a multiple of what should be there is something right itself."""
    slots = [locator.graph.equations[i].outputs[0] for i in location.target.group]
    return name.bug == "constant_factor" and all(map(locator.is_known, slots))


def _idle_lines(case: Case) -> Idle:
    """What computes nothing, which no jaxpr has."""
    with contextlib.suppress(Exception):  # It may not run outside of jit.
        if case.candidate is not None:
            return idle_lines(case.candidate, Limit(TIME_TO_RUN_AGAIN))
    return Idle([], [])


def _own(graph: Graph, locator: Locator) -> Iterator[Reference]:
    """The candidate's own values that are none of the loss's, as references."""
    for slot, value in graph.values.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            match = locator.match(slot)
            if match and match.exact and match.reference.array.shape == value.shape:
                continue
            index = graph.maker.get(slot)
            equation = None if index is None else graph.equations[index]
            site = equation.site if equation else ""
            written = equation and (source_of(equation.origin) or display_name(equation))
            numbers = value.astype(int) if value.dtype.kind == "b" else value
            yield Reference(
                "value", -1 - slot, numbers, site, written or "a constant", ("own", slot)
            )


def _right(graph: Graph, locations: Iterable[Location]) -> dict[int, np.ndarray]:
    """The right values at these places, by slot."""
    targets = [location.target for location in locations]
    return {
        graph.equations[index].outputs[0]: value
        for target in targets
        for index, value in zip(target.group, target.expected, strict=True)
    }


def _relation(
    locator: Locator, location: Location, known: Known, tape: Tape, others: dict[int, np.ndarray]
) -> Named | None:
    places = [location.innermost, location.target]
    places = places[1:] if places[0] is places[1] else places
    for target in [*places, *locator.leaves(location.target.paths)]:
        found = named(_spot(locator, target, tape, others), known)
        if found is not None:
            return found
    return None


def _spot(locator: Locator, target: Target, tape: Tape, others: dict[int, np.ndarray]) -> Spot:
    """What is found at a place where all that is wrong elsewhere is right."""
    graph = locator.graph
    equations = [graph.equations[i] for i in target.group]
    leaves = [
        tape.leaves[path]
        for path in target.paths
        if graph.outputs[path] == equations[0].outputs[0] and target.reference is None
    ]
    right = others | {e.outputs[0]: x for e, x in zip(equations, target.expected, strict=True)}
    found, inputs = [], []
    for index in target.group:
        slot, terms = graph.equations[index].outputs[0], _terms(graph, index)
        values = graph.at_one_turn(right, slot)([slot, *terms])
        found.append(np.asarray(values[slot]))
        inputs.append([x for s in terms if not is_key(x := values[s])])
    return Spot(
        found=found,
        expected=[np.asarray(e) for e in target.expected],
        inputs=inputs,
        match=functools.cache(lambda turn: locator.references.match(found[turn])),
        reference=target.reference,
        leaf=leaves[0] if leaves else None,
        compared=_is_compared(graph, [e.outputs[0] for e in equations]),
    )


def _is_compared(graph: Graph, slots: list[int]) -> bool:
    """Whether numbers bound others, in whatever shape, and nothing else reads them."""
    open_, names = [*slots], set[str]()
    while open_:
        for index in graph.readers[open_.pop()]:
            equation = graph.equations[index]
            if equation.name in _RESHAPING:
                open_ += equation.outputs
            else:
                names.add(equation.name)
    return bool(names) and names <= _ORDERING


_RESHAPING = {"broadcast_in_dim", "convert_element_type", "reshape", "expand_dims", "item"}


_ORDERING = {"lt", "le", "gt", "ge", "Lt", "LtE", "Gt", "GtE"}


def _terms(graph: Graph, index: int) -> list[int]:
    """What an equation reads, in every shape it had on the way."""
    found = list(graph.equations[index].inputs)
    for slot in found:
        maker = graph.maker.get(slot)
        if maker is not None and graph.equations[maker].name in ("reshape", "transpose"):
            found += graph.equations[maker].inputs[:1]
    return found


def _known(case: Case, backward: Backward, locator: Locator, own: References) -> Known:
    tape = backward.tape

    def leads_to(slot: int, other: int) -> bool:
        reached = {slot}
        for equation in tape.equations:
            if reached & set(equation.inputs):
                reached.update(equation.outputs)
        return other in reached

    def activation(gradient: np.ndarray, slot: int) -> str:
        for index, equation in enumerate(tape.equations):
            for operand, own in enumerate(equation.inputs if slot in equation.outputs else ()):
                place = index, operand
                if (
                    place in backward.contributions
                    and same(backward.cotangents[own], gradient)
                    and is_activation(backward.edge(place))
                ):
                    return display_name(equation)
        return ""

    return Known(
        references=locator.references,
        own=own,
        turns=functools.cache(lambda: _turns_of(locator.graph)),
        written=functools.cache(lambda: [*written(locator.graph)]),
        leads_to=leads_to,
        activation=activation,
        means=divisors(tape),
        batch=batch_sizes(case),
        held={s for e in tape.equations if e.name == "stop_gradient" for s in e.outputs},
    )


def _turns_of(graph: Graph) -> list[list[np.ndarray]]:
    """What each operation gives at every turn of its loop."""
    groups = [group for group in graph.groups(range(len(graph.equations))) if len(group) > 1]
    turns = [[graph.values[graph.equations[i].outputs[0]] for i in group] for group in groups]
    return [own for own in turns if isinstance(own[0], np.ndarray) and own[0].dtype.kind == "f"]
