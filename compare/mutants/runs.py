"""Runs the checker against the gallery: is each wrong gradient detected, and its bug named?"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from compare.checker.check import check_gradients
from compare.mutants.mutant import Mutant

__all__ = ["MutantRun", "run"]


class MutantRun(NamedTuple):
    """What `check_gradients` says of one wrong gradient.

    Attributes:
        mutant: the name of the mutant.
        expected: the name of its bug; None if no name fits.
        detected: whether the verdict is the expected one, which is never `agree`.
        verdict: the verdict.
        named: the name of the bug that the diagnosis gives; None if it gives none.
        confirmed: whether the diagnosis is confirmed.
        right: whether the name is right; None if no name fits and none was given.
        site: `file:line` of the loss where the bug is by the diagnosis, or "".
        seconds: how long the check took.
        line: which of the suspected lines is the true one, counted from 1; 0 if none is, None if
            there is no diagnosis.
    """

    mutant: str
    expected: str | None
    detected: bool
    verdict: str
    named: str | None
    confirmed: bool
    right: bool | None
    site: str
    seconds: float
    line: int | None = None


def run(mutant: Mutant, seed: int = 0) -> MutantRun:
    """Runs one mutant through `check_gradients`, at the point that `seed` draws."""
    start = time.monotonic()
    report = check_gradients(mutant.candidate, mutant.loss, *mutant.make(seed))
    found = report.diagnosis
    named = found.bug if found and found.bug != "unknown" else None
    fitting = {mutant.slug, *mutant.aliases} - {None}
    return MutantRun(
        mutant=mutant.name,
        expected=mutant.slug,
        detected=report.verdict == mutant.verdict,
        verdict=report.verdict,
        named=named,
        confirmed=bool(found and found.confirmed),
        right=named in fitting if named or mutant.slug else None,
        site=found.site if found else "",
        seconds=time.monotonic() - start,
        line=_place(found.suspects, mutant.lines) if found else None,
    )


def _place(suspects: Sequence[str], true: Sequence[str]) -> int:
    """The place of the first true line among the suspects, from 1; 0 if there is none."""
    return next((i for i, line in enumerate(suspects, 1) if line in true), 0)
