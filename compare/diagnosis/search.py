"""Diagnosis by reproduction: the mistake that gives the candidate's own numbers is the bug.

A wrong gradient is explained when the same wrong numbers can be made on purpose, on every leaf and
to rounding. Whatever cannot be reproduced is `unknown`: no name is guessed.
"""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from compare.diagnosis import hypotheses
from compare.diagnosis.backward import Backward, Place
from compare.diagnosis.case import Case, Diagnosis, Leaves, distance
from compare.diagnosis.hypotheses import Hypothesis
from compare.diagnosis.suspects import Suspect, pairs, suspects
from compare.diagnosis.tape import Tape, record

__all__ = ["TIME_LIMIT", "diagnose"]

TIME_LIMIT = 30.0
"""Seconds after which the search for a name ends, and says so."""


def diagnose(case: Case) -> Diagnosis:
    """The bug behind a wrong gradient, or `unknown` with what is known.

    Raises:
        TypeError: from jax, if the loss cannot be traced.
    """
    start = time.monotonic()
    tape = record(case.loss, case.leaves, case.constants)
    backward = functools.cache(lambda: Backward(tape))
    tried = 0
    for tried, hypothesis in enumerate(_hypotheses(case, tape, backward), 1):
        if time.monotonic() - start > TIME_LIMIT:
            return _unknown(case, tape, f"not finished: {TIME_LIMIT:.0f} s were not enough", tried)
        gradient = hypothesis.gradient or backward().gradient(hypothesis.suspect.rules)
        if case.explains(gradient):
            return _named(case, tape, hypothesis, gradient)
    return _unknown(case, tape, "none gives these numbers", tried)


def _hypotheses(case: Case, tape: Tape, backward: Callable[[], Backward]) -> Iterator[Hypothesis]:
    """Those first that need no backward pass, which is made when it is asked for."""
    paths = case.paths()
    yield from hypotheses.by_ratio_of_all(case)
    yield from hypotheses.by_leaf(case)
    yield from _possible(suspects(backward()), tape, paths)
    yield from hypotheses.by_ratio_of_some(case)
    yield from hypotheses.redrawn(case, backward())
    yield from hypotheses.dropped(case)
    yield from _possible(pairs(backward()), tape, paths)


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


def _named(case: Case, tape: Tape, found: Hypothesis, gradient: Leaves) -> Diagnosis:
    paths = case.paths()
    rest = max(distance(gradient[p], case.wrong[p]) for p in case.leaves)
    error = max(distance(case.right[p], case.wrong[p]) for p in case.leaves)
    evidence = (
        f"jax.grad's own backward pass with {found.suspect.story} gives these numbers in all "
        f"{len(case.leaves)} leaves, to {rest:.1e}; the right ones are {error:.1e} away"
    )
    places = list(found.suspect.rules)
    sites = [tape.equations[index].site for index, _ in places] or _sites_of(tape, paths)
    return Diagnosis(
        bug=found.suspect.slug,
        path=paths[0] if paths else next(iter(case.leaves)),
        site=next((site for site in sites if site), ""),
        evidence=evidence,
        confirmed=True,
    )


def _unknown(case: Case, tape: Tape, why: str, tried: int) -> Diagnosis:
    paths = case.paths()
    right = [p for p in case.leaves if p not in paths]
    first, last = _stretch(tape, paths, right)
    evidence = (
        f"{tried} known mistakes were made on purpose, {why}; wrong: {', '.join(paths)}; right: "
        f"{', '.join(right) or 'none'}; the error enters between {first} and {last}"
    )
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
    return f"{equation.name} ({equation.site})" if equation.site else equation.name


def _sites_of(tape: Tape, paths: list[str]) -> list[str]:
    """The lines that use these leaves first."""
    slots = {tape.leaves[p] for p in paths}
    return [equation.site for equation in tape.equations if slots & set(equation.inputs)]
