"""The checker against the gallery of wrong gradients: detected, and named?"""

import time
from collections.abc import Iterator
from typing import NamedTuple

from compare.checker.check import check_gradients
from compare.mutants.gallery import mutants
from compare.mutants.mutant import Mutant

__all__ = ["MutantRun", "run_all"]


class MutantRun(NamedTuple):
    """What the public interface says of one wrong gradient.

    Attributes:
        mutant: its name.
        expected: the name of its bug; None where no name fits.
        detected: whether the verdict is the expected one, which is never `agree`.
        verdict: the verdict.
        named: the bug that was named; None where none was.
        confirmed: whether the name is confirmed.
        right: whether the name is right; None where there is no name to give.
        site: `file:line` that the bug was located at.
        seconds: how long it took.
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


def run_all(only: str = "", seed: int = 0) -> Iterator[MutantRun]:
    """Runs every mutant whose name contains `only` through `check_gradients`."""
    for mutant in mutants():
        if only in mutant.name:
            yield run(mutant, seed)


def run(mutant: Mutant, seed: int = 0) -> MutantRun:
    """Runs one mutant at the point that `seed` draws."""
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
    )
