"""The parts of a report as text, for a terminal of 80 columns."""

import math
import re
import textwrap
from collections.abc import Callable, Sequence

from compare.checker.leaf import Leaf, Loss
from compare.diagnosis.case import Diagnosis
from compare.diagnosis.catalogue import named_mistake
from compare.diagnosis.shown_listing import listing_lines
from compare.sites import shown, source
from compare.tolerance import is_least_noise

__all__ = ["WIDTH", "details_lines", "diagnosis_lines", "loss_lines", "table_lines", "wrapped"]

WIDTH = 76
"""What fits 80 columns even where a test runner sets a message in by four."""


_STUCK = "\x00"
_TOGETHER = re.compile(r" (?=±)|(?<=±) |(?<=\(\d,) (?=\d)|(?<=\d,) (?=\d+[,)])")
"""The spaces at which no line is broken, and what stands for them."""


def wrapped(sentence: str, indent: str = "  ") -> list[str]:
    """Breaks a sentence between words, at `WIDTH`; what follows is set in by two more.

    A number stays with its error bar, and an index is not broken.
    """
    lines = textwrap.wrap(
        _TOGETHER.sub(_STUCK, sentence), WIDTH, initial_indent=indent,
        subsequent_indent=f"{indent}  ", break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip
    return [line.replace(_STUCK, " ") for line in lines]


def loss_lines(loss: Loss) -> list[str]:
    """Writes the value of the loss on each side, broken between the sides where it is long."""
    sides = (
        ("manual", loss.manual), ("autodiff", loss.autodiff), ("float64 reference", loss.reference),
    )  # fmt: skip
    # Where a leaf cannot be compared, no reference is computed, or none that is a number.
    known = [side for side in sides if side[0] != "float64 reference" or not math.isnan(side[1])]
    # A side and its number stay on one line.
    text = ", ".join(f"{name} {value:.9g}".replace(" ", _STUCK) for name, value in known)
    return wrapped(f"loss: {text}", "")


def table_lines(leaves: Sequence[Leaf], worst: Leaf | None) -> list[str]:
    """Writes a table with a row for each leaf.

    A dtype that all share is told once, above. A leaf whose path and shape are too long for a row
    has a line of its own for them.
    """
    shared = {leaf.dtype for leaf in leaves}
    names = ["leaf", "shape", *(["dtype"] if len(shared) > 1 else [])]
    lefts = [names, *([leaf.path, _shape(leaf), leaf.dtype][: len(names)] for leaf in leaves)]
    right = _aligned([_HEAD, *map(_numbers, leaves)], str.rjust)
    ends = ["", *(_end(leaf, leaf is worst) for leaf in leaves)]
    room = WIDTH - len(right[0]) - 2 - max(map(len, ends))
    short = [left for left in lefts if len("  ".join(left)) <= room]
    while len(_aligned(short, str.ljust)[0]) > room:
        short.remove(max(short, key=lambda left: len("  ".join(left))))
    columns = dict(zip(map(tuple, short), _aligned(short, str.ljust), strict=True))
    blank = " " * len(_aligned(short, str.ljust)[0])
    lines = [f"numbers in {next(iter(shared))}:"] if len(shared) == 1 else []
    for left, numbers, end in zip(lefts, right, ends, strict=True):
        if tuple(left) not in columns:
            lines.append("  ".join(left))
        lines.append(f"{columns.get(tuple(left), blank)}  {numbers}{end}")
    return lines


_HEAD = ("max error", "noise", "× noise", "tolerance")


def _numbers(leaf: Leaf) -> tuple[str, ...]:
    none = is_least_noise(leaf.noise)
    numbers = (
        (leaf.max_abs, ".1e"),
        (0.0 if none else leaf.noise, "g" if none else ".1e"),
        (leaf.ratio, ".2g"),
        (0.0 if none else leaf.tolerance, "g" if none else ".1e"),
    )
    return tuple(
        "–" if math.isnan(x) else "∞" if x == math.inf else f"{x:{form}}" for x, form in numbers
    )


def _shape(leaf: Leaf) -> str:
    return "×".join(map(str, leaf.shape)) or "scalar"


def _end(leaf: Leaf, is_worst: bool) -> str:
    return ("" if leaf.agrees else "  WRONG") + (" ← worst" if is_worst else "")


def _aligned(rows: Sequence[Sequence[str]], justified: Callable[[str, int], str]) -> list[str]:
    """Joins the cells of each row, those of a column made equally wide."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(justified, row, widths)) for row in rows]


def diagnosis_lines(diagnosis: Diagnosis, *, verbose: bool = False) -> list[str]:
    """Writes like a compiler's error: the bug, the line, the evidence, what to look at.

    Args:
        diagnosis: what was found.
        verbose: whether to list all lines, not those near the suspects alone.
    """
    names = " or ".join((diagnosis.bug, *diagnosis.also))
    lines = wrapped(f"bug: {names}" + (", confirmed" if diagnosis.confirmed else ""), "")
    if diagnosis.listing:
        lines += ["", *listing_lines(diagnosis.listing, diagnosis.suspects, verbose=verbose), ""]
    if diagnosis.site:
        lines.append(f"  line of the loss: {shown(diagnosis.site)}")
    if line := source(diagnosis.site):
        lines.append(f"    | {textwrap.shorten(line, WIDTH - 6, placeholder=' …')}")
    lines += wrapped(diagnosis.evidence)
    if mistake := named_mistake(diagnosis.bug):
        lines += wrapped(f"look at: {mistake.look_at}")
    return lines


def details_lines(
    details: Sequence[str], leaves: Sequence[Leaf], *, verbose: bool = False
) -> list[str]:
    """Writes what was found, a sentence each; of many wrong leaves those that are most wrong.

    Args:
        details: the sentences.
        leaves: of the gradient.
        verbose: whether to write the sentences of all leaves.
    """
    own = {
        detail: leaf.excess
        for leaf in leaves
        for detail in details
        if detail.startswith(f"{leaf.path}: ") and _DIFFERS in detail
    }
    shown = sorted(own, key=lambda detail: -own[detail])[: len(own) if verbose else _MOST_TOLD]
    lines: list[str] = []
    last = next((detail for detail in reversed(details) if detail in shown), None)
    for detail in details:
        if detail not in own or detail in shown:
            lines += wrapped(detail)
        if detail == last and (more := len(own) - len(shown)):
            lines.append(f"  and {more} more {'leaf' if more == 1 else 'leaves'}, as in the table")
    return lines


_MOST_TOLD = 3
"""So many wrong leaves have a sentence; the table has all of them."""

_DIFFERS = "; they differ by "
"""What the sentence of a wrong leaf has, and none of the others."""
