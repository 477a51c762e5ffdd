"""What a learner is told of an attempt that is not right: where, what, and what to ask oneself."""

import re
from collections.abc import Iterator

from compare.checker import GradientReport
from compare.checker.reporting.text import wrapped
from compare.diagnosis.case import Diagnosis
from compare.diagnosis.catalogue import named_mistake
from compare.diagnosis.shown_listing import listing_lines
from compare.escapes import escaped
from compare.exercises.attempt import Attempt
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
        lines = [f"{name}: not right yet", "", *_of(came.report)]
    folder = shown(str(came.path.parent))
    typed = f"handgrad exercises hint {number}" + (f" {folder}" if folder != "." else "")
    lines += ["", f"For a hint: {typed}"]
    return "\n".join(escaped(line.expandtabs(4)) for line in lines)


def _of(report: GradientReport) -> Iterator[str]:
    diagnosis = report.diagnosis
    if diagnosis is not None and diagnosis.listing:
        for line in listing_lines(diagnosis.listing, diagnosis.suspects):
            yield _plainly(line).replace("the hand-derived side", "your lines")
        yield ""
    yield from _numbers(report)
    yield ""
    if diagnosis is None:
        for detail in report.details:
            yield from wrapped(detail)
        return
    yield from _named(diagnosis)


def _numbers(report: GradientReport) -> Iterator[str]:
    """A line for each gradient: right, or yours and the right number where they differ most."""
    width = max(len(leaf.path) for leaf in report.leaves)
    for leaf in report.leaves:
        name = f"  d{leaf.path:<{width}}"
        if leaf.agrees or leaf.index is None:
            yield f"{name}  {'right' if leaf.agrees else 'wrong'}"
            continue
        at = f" at [{', '.join(map(str, leaf.index))}]" if leaf.index else ""
        yield f"{name}  wrong: yours is {leaf.manual:.6g}{at}; it should be {leaf.reference:.6g}"


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


_WORDS = {
    "dot_general": "(matrix product)", "broadcast_in_dim": "(broadcast)", "reduce_sum": "(sum)",
    "mul": "(product)", "add": "(sum of two)", "sub": "(difference)", "div": "(quotient)",
    "neg": "(minus)", "reduce_max": "(maximum)", "integer_pow": "(power)", "max": "(maximum)",
    "select_n": "(choice)", "transpose": "(transpose)", "reshape": "(reshape)", "gather": "(look-up)",
    "exp": "(exp)", "log": "(log)", "tanh": "(tanh)", "sqrt": "(sqrt)", "square": "(square)",
}  # fmt: skip
"""What JAX calls its operations, in words."""


def _plainly(line: str) -> str:
    return re.sub(r"∂L/∂(\w+)", lambda m: f"∂L/∂{_WORDS.get(m[1], m[1])}", line)
