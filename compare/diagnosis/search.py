"""Diagnosis by reproduction: the mistake that gives the candidate's own numbers is the bug.

A wrong gradient is explained when the same wrong numbers can be made on purpose, on every leaf and
to rounding. Whatever cannot be reproduced is `unknown`: no name is guessed.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from compare.diagnosis import hypotheses
from compare.diagnosis.backward import Backward, Place
from compare.diagnosis.case import Case, Diagnosis, Leaves, distance, near
from compare.diagnosis.hypotheses import Hypothesis, divisors
from compare.diagnosis.limits import Limit
from compare.diagnosis.mistakes import display_name
from compare.diagnosis.suspecting.suspects import Suspect, first_met, pairs, suspects
from compare.diagnosis.tape import Tape, record
from compare.diagnosis.watching.listing import with_marked
from compare.diagnosis.watching.watch import Watched, lines_of_a_bug, watch
from compare.sites import shown
from compare.trees import called, largest

__all__ = ["TIME_LIMIT", "diagnose"]

TIME_LIMIT = 30.0
"""Seconds of work after which the search for a name ends, and says so."""

TIME_IF_NAMED = 5.0
"""Seconds for the same where the place of the mistake has given it a name already."""

TIME_FOR_OTHERS = 2.0
"""Seconds for the search for further names of the same numbers, once there is one."""


def diagnose(case: Case) -> Diagnosis:
    """The bug behind a wrong gradient, or `unknown` with what is known, and the lines it can be in.

    Raises:
        TypeError: from jax, if the loss cannot be traced.
    """
    tape = record(case.loss, case.leaves, case.constants)
    with contextlib.suppress(Exception):  # Who asks for a value is told what is wrong.
        _ = tape.forward.begun
    backward = Backward(tape)
    if case.candidate is not None:
        with contextlib.suppress(Exception):  # The same.
            backward.begin()
    watched = watch(case, backward)
    named = any(watched.named)
    seconds = TIME_IF_NAMED if named else TIME_LIMIT
    found, tried = _search(case, tape, backward, watched, seconds)
    by_place = found is None
    if found is None:
        found = _by_place(_unknown(case, tape), watched, tried)
    evidence = "; ".join(part for part in (found.evidence, watched.reason) if part)
    suspects = watched.suspects
    if not (by_place and found.bug == "dropped_examples"):  # Named so, it is the line that writes.
        suspects = lines_of_a_bug(found.bug, suspects)
    return dataclasses.replace(
        found,
        suspects=suspects,
        listing=with_marked(watched.listing, suspects),
        evidence=evidence,
    )


def _by_place(found: Diagnosis, watched: Watched, tried: str) -> Diagnosis:
    """The name of what is wrong at the places where the mistake was found.

    Of several mistakes none is the bug; what is known of each is told, and what was tried before.
    """
    known = [name for name in watched.named if name is not None]
    stories = "; ".join(dict.fromkeys(name.story for name in known))
    told = [f"at the lines that are suspected: {stories}"] if known else []
    if known and len(known) == len(watched.named) and len({name.bug for name in known}) == 1:
        evidence = "; ".join([*told, found.evidence])
        return dataclasses.replace(found, bug=known[0].bug, evidence=evidence, confirmed=True)
    return dataclasses.replace(found, evidence="; ".join([*told, tried, found.evidence]))


def _search(
    case: Case, tape: Tape, backward: Backward, watched: Watched, seconds: float
) -> tuple[Diagnosis | None, str]:
    """The name: that of the mistake which, made on purpose, gives the candidate's numbers.

    Returns:
        The diagnosis, or None, and what was tried.
    """
    if case.cancels():
        return None, "what is wrong cancels to zero, which many mistakes have in common"
    end = Limit(seconds)
    first, also, tried = None, [], 0
    for hypothesis in _hypotheses(case, tape, backward):
        if end.is_over():
            break
        tried += 1
        slug = hypothesis.suspect.slug
        if first and (slug in (first[0].suspect.slug, *also) or _by_chance(first[0], slug)):
            continue
        gradient = _gradient(hypothesis, backward, case)
        if gradient is None:
            continue
        if first is None:
            first = _as_it_was_done(hypothesis, backward, watched), gradient
            also += [slug] if first[0].suspect.slug != slug else []
            end = Limit(min(end.left(), TIME_FOR_OTHERS))
            if hypothesis.factor is not None:
                also = _of_the_same_factor(case, tape, backward, hypothesis, end)
                break
        elif slug == "path_cut" and first[0].suspect.slug in _OF_ACTIVATIONS:
            # What is left out is zero; of another derivative the same numbers are a cancellation.
            also.append(first[0].suspect.slug)
            first = hypothesis, gradient
        else:
            also.append(slug)
    if first is not None:
        return _named(case, tape, *first, tuple(also)), ""
    late = end.is_over()
    why = f"not finished: {seconds:.0f} s were not enough" if late else "none gives these numbers"
    return None, f"the checker made {tried} known mistakes to compare, {why}"


def _by_chance(first: Hypothesis, slug: str) -> bool:
    """Whether a mistake leaves nothing out, where leaves are all zeros: what it gives cancels."""
    at_zero = first.suspect.slug == "path_cut" and not first.suspect.rules
    return at_zero and slug not in _LEAVING_OUT


def _as_it_was_done(hypothesis: Hypothesis, backward: Backward, watched: Watched) -> Hypothesis:
    """A term that the candidate has not computed in vain was left out, and not written over."""
    suspect = hypothesis.suspect
    if not suspect.if_cut or watched.loses is None:
        return hypothesis
    if any(watched.loses(backward.contributions[place]) for place in suspect.rules):
        return hypothesis
    return hypothesis._replace(suspect=suspect._replace(slug="path_cut", story=suspect.if_cut))


_OF_ACTIVATIONS = (
    "missing_activation_derivative", "activation_derivative_at_output",
    "activation_derivative_twice", "wrong_activation",
)  # fmt: skip

_LEAVING_OUT = (
    "missing_weight_decay", "time_steps_truncated", "overwritten_not_accumulated",
    "dropped_examples", "mask_extra", "softmax_wrong_axis",
)  # fmt: skip
"""The mistakes that can leave a leaf at zero and all that is computed from it right."""


def _of_the_same_factor(
    case: Case, tape: Tape, backward: Backward, first: Hypothesis, end: Limit
) -> list[str]:
    """Further names for a whole gradient that is so many times as large.

    They are of mistakes that multiply the derivative at one place by that number.
    """
    factor = first.factor
    assert factor is not None
    also: list[str] = []
    sources = [
        lambda: hypotheses.by_ratio_of_all(case, divisors(tape)),
        lambda: _scaling(tape, backward, factor, case.paths()),
    ]
    for hypothesis in _from(sources):
        if end.is_over():
            break
        slug = hypothesis.suspect.slug
        if slug in (first.suspect.slug, *also):
            continue
        if _gradient(hypothesis, backward, case) is not None:
            also.append(slug)
    return also


def _scaling(
    tape: Tape, backward: Backward, factor: float, paths: list[str]
) -> Iterator[Hypothesis]:
    """The mistakes that multiply a derivative; none if none does where the way back begins."""
    nearest = suspects(backward, first_met(tape, paths), cuts=False)
    if any(_multiplies(Hypothesis(suspect), backward, factor) for suspect in nearest):
        for hypothesis in _possible(suspects(backward, cuts=False), tape, paths):
            if _multiplies(hypothesis, backward, factor):
                yield hypothesis


def _multiplies(hypothesis: Hypothesis, backward: Backward, factor: float) -> bool:
    """Whether a mistake multiplies the derivative by a number where the way back meets it first."""
    rules = hypothesis.suspect.rules
    place = max(rules)
    edge = backward.edge(place)
    try:
        with np.errstate(all="ignore"):  # A mistake may well divide by zero.
            changed = rules[place](edge)
    except _DOES_NOT_FIT:
        return False
    limit = 1e-8 * largest(edge.d_input)
    return np.shape(changed) == edge.d_input.shape and near(changed, edge.d_input, limit, factor)


def _gradient(hypothesis: Hypothesis, backward: Backward, case: Case) -> Leaves | None:
    """The gradient of a hypothesis; None where it is not the candidate's, or cannot be made."""
    gradient = hypothesis.gradient
    if gradient is None:
        try:
            gradient = backward.fitting(hypothesis.suspect.rules, case.fits)
        except _DOES_NOT_FIT:
            return None
    return gradient if gradient is not None and case.explains(gradient) else None


_DOES_NOT_FIT = (ArithmeticError, IndexError, TypeError, ValueError)
"""What a mistake raises where it cannot be made: the shapes do not fit, say."""


def _hypotheses(case: Case, tape: Tape, backward: Backward) -> Iterator[Hypothesis]:
    """Those first that need no backward pass, which is made when it is asked for."""
    paths = case.paths()
    sources = [
        lambda: hypotheses.zero_leaves(case),
        lambda: hypotheses.by_ratio_of_all(case, divisors(tape)),
        lambda: hypotheses.by_leaf(case),
        lambda: _possible(suspects(backward), tape, paths),
        lambda: hypotheses.by_ratio_of_some(case, divisors(tape)),
        lambda: hypotheses.redrawn(case, backward),
        lambda: hypotheses.dropped(case),
        lambda: _possible(pairs(backward), tape, paths),
    ]
    yield from _from(sources)


def _from(sources: Iterable[Callable[[], Iterator[Hypothesis]]]) -> Iterator[Hypothesis]:
    for source in sources:
        # A loss may hold what one kind of mistake stumbles over; the other kinds are still there.
        with contextlib.suppress(Exception):
            yield from source()


def _possible(
    all_suspects: Iterable[Suspect], tape: Tape, paths: list[str]
) -> Iterator[Hypothesis]:
    """The suspects that can make all of these leaves wrong: each must be upstream of a change."""
    for suspect in all_suspects:
        upstream = frozenset().union(*(tape.leaves_of[_slot(tape, p)] for p in suspect.rules))
        if upstream >= set(paths):
            yield Hypothesis(suspect)


def _slot(tape: Tape, place: Place) -> int:
    return tape.equations[place[0]].inputs[place[1]]


def _named(
    case: Case, tape: Tape, found: Hypothesis, gradient: Leaves, also: tuple[str, ...]
) -> Diagnosis:
    paths = case.paths()
    rest = max(distance(gradient[p], case.wrong[p]) for p in case.leaves)
    error = max(distance(case.right[p], case.wrong[p]) for p in case.leaves)
    evidence = (
        f"jax.grad's own backward pass with {found.suspect.story} gives these numbers in "
        f"{_where_of(case)}, to {rest:.1e}; the right ones are {error:.1e} away"
    )
    places = list(found.suspect.rules)
    sites = [tape.equations[index].site for index, _ in places] or _sites_of(tape, paths)
    return Diagnosis(
        bug=found.suspect.slug,
        path=paths[0] if paths else next(iter(case.leaves)),
        site=next((site for site in sites if site), ""),
        evidence=evidence,
        confirmed=True,
        also=also,
    )


def _where_of(case: Case) -> str:
    """The leaves that a mistake explains: all of them, of which some may be right."""
    wrong, every = len(case.paths()), len(case.leaves)
    if wrong == every:
        return f"all {every} leaves" if every > 1 else "the one leaf"
    leaves = "the leaf that is wrong" if wrong == 1 else f"the {wrong} leaves that are wrong"
    others = "the other" if every - wrong == 1 else f"the other {every - wrong}"
    return f"{leaves}, and leaves {others} right"


def _unknown(case: Case, tape: Tape) -> Diagnosis:
    paths = case.paths()
    right = [p for p in case.leaves if p not in paths]
    first, last = _stretch(tape, paths, right)
    names = (", ".join(map(called, own)) for own in (paths, right))
    wrong, unspoilt = (name or "none" for name in names)
    evidence = f"wrong: {wrong}; right: {unspoilt}; the error enters between {first} and {last}"
    sites = _sites_of(tape, paths)
    worst = max(paths, key=lambda p: distance(case.wrong[p], case.right[p]) / case.limit(p))
    return Diagnosis("unknown", worst, next((s for s in sites if s), ""), evidence, False)


def _stretch(tape: Tape, paths: list[str], right: list[str]) -> tuple[str, str]:
    """The equations between which an error must enter that spoils these leaves and not those."""
    wrong = set(paths)
    common = [
        equation for equation in tape.equations if wrong <= tape.leaves_of[equation.outputs[0]]
    ]
    first = common[0] if common else tape.equations[-1]
    clean = [e for e in common if not tape.leaves_of[e.outputs[0]] & set(right)]
    last = clean[-1] if clean else first
    return _where(first), _where(last)


def _where(equation: Any) -> str:
    name = display_name(equation)
    return f"{name} ({shown(equation.site)})" if equation.site else name


def _sites_of(tape: Tape, paths: list[str]) -> list[str]:
    """The lines that use these leaves first."""
    slots = {tape.leaves[p] for p in paths}
    return [equation.site for equation in tape.equations if slots & set(equation.inputs)]
