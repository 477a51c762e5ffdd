"""What a learner is told of an attempt that is not right: where, what, and what to ask oneself."""

from collections.abc import Iterator
from itertools import takewhile

from compare.checker import GradientReport
from compare.checker.reporting.text import wrapped
from compare.diagnosis.case import Diagnosis, Line
from compare.diagnosis.catalogue import named_mistake
from compare.diagnosis.shown_listing import listing_lines
from compare.escapes import escaped
from compare.exercises.attempt import Attempt, given_lines
from compare.exercises.questions import question
from compare.sites import shown

__all__ = ["message"]


def message(came: Attempt) -> str:
    """Writes it for a terminal of 80 columns; the solution is never in it."""
    name, number = shown(str(came.path)), came.exercise.number
    if came.state == "unfinished":
        lines = [
            *wrapped(f"Next: {name}", ""),
            *wrapped("Read it, write `backward`, save, and check again.", "  "),
        ]
    elif came.report is None:
        lines = wrapped(f"{name}: {came.why}", "")
    else:
        lines = [f"{name}: not right yet", "", *_of(came, came.report)]
    folder = shown(str(came.path.parent))
    typed = f"handgrad exercises hint {number}" + (f" {folder}" if folder != "." else "")
    lines += ["", f"For a hint: {typed}"]
    return "\n".join(escaped(line.expandtabs(4)) for line in lines)


def _of(came: Attempt, report: GradientReport) -> Iterator[str]:
    diagnosis = report.diagnosis
    if diagnosis is not None:
        given = given_lines(came.exercise, came.path)
        lines = [line for line in diagnosis.listing if line.line not in given]
        theirs = {f"{line.file}:{line.line}" for line in lines}
        suspects = [site for site in diagnosis.suspects if site in theirs]
        yield from _listed(lines, suspects)
    yield from _numbers(report)
    yield ""
    if diagnosis is None:
        for detail in report.details:
            yield from wrapped(detail)
        return
    yield from _named(diagnosis)


def _listed(lines: list[Line], suspects: list[str]) -> Iterator[str]:
    """The learner's lines near the suspects, with what each computes."""
    text = listing_lines(lines, suspects)
    if not text:
        return
    shown_ = takewhile(lambda line: not line.startswith("  suspected as well"), text[1:])
    yield from ("  your backward pass, line by line:", *shown_)
    if others := ", ".join(site.rpartition(":")[2] for site in suspects[1:]):
        yield from wrapped(f"suspected as well: line{'s' * (len(suspects) > 2)} {others}")
    yield ""


def _numbers(report: GradientReport) -> Iterator[str]:
    """A line for each gradient: right, or yours and the right number where they differ most."""
    width = max(len(leaf.path) for leaf in report.leaves)
    for leaf in report.leaves:
        name = f"  d{leaf.path:<{width}}"
        if leaf.agrees or leaf.index is None:
            yield f"{name}  {'right' if leaf.agrees else 'wrong'}"
            continue
        at = f"[{', '.join(map(str, leaf.index))}]" if leaf.index else ""
        yield (
            f"{name}  WRONG: d{leaf.path}{at} is {leaf.manual:.6g} and should be "
            f"{leaf.reference:.6g}"
        )


def _named(diagnosis: Diagnosis) -> Iterator[str]:
    """The mistake where it has a name, and the question to ask oneself."""
    names = [name for name in (diagnosis.bug, *diagnosis.also) if named_mistake(name)]
    for i, name in enumerate(names):
        mistake = named_mistake(name)
        assert mistake is not None
        yield from wrapped(f"{'Or' if i else 'The mistake'}: {mistake.meaning} ({name})")
    if not names:
        yield from wrapped("This mistake has no name here; its place is what is known.")
    yield from wrapped(f"Ask yourself: {question(diagnosis.bug)}")
