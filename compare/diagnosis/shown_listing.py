"""The listing of a diagnosis as text: the person's lines, each with what it computes."""

import textwrap
from collections.abc import Sequence

from compare.diagnosis.case import Line
from compare.sites import shown

__all__ = ["listing_lines"]

_AROUND = 3
"""How many lines are shown before and after a suspect."""

_WIDTH, _BEFORE, _WHAT = 76, 12, 26
"""How wide the text is; what a line's number and marks take of it; and what it computes, mostly."""


def listing_lines(
    listing: Sequence[Line], suspects: Sequence[str], *, verbose: bool = False
) -> list[str]:
    """Writes the neighbourhood of the suspects, one line of text for each line of source.

    Args:
        listing: in the order of the source.
        suspects: `file:line`, the most likely first, which is marked.
        verbose: whether to write all lines.
    """
    places = [i for i, line in enumerate(listing) if _site(line) in suspects]
    near = [
        i
        for i in range(len(listing))
        if verbose or any(abs(i - place) <= _AROUND for place in places)
    ]
    if not near:
        return []
    longest = max(len(_what(listing[i])) for i in near)
    width = min(max(len(listing[i].source) for i in near), _WIDTH - _BEFORE - min(longest, _WHAT))
    text: list[str] = []
    file, before = "", -1
    for i in near:
        line = listing[i]
        if line.file != file:
            text.append(f"  the hand-derived side, line by line ({shown(line.file)})")
        elif i != before + 1:
            text.append("      ...")
        file, before = line.file, i
        mark = "▸" if suspects and _site(line) == suspects[0] else " "
        text += _text(f"  {mark} {line.line:>4}  ", line, width)
    others = [shown(suspect) for suspect in suspects[1:]]
    if others:
        sentence = f"  suspected as well: {', '.join(others)}"
        text += textwrap.wrap(
            sentence, _WIDTH, subsequent_indent="    ", break_on_hyphens=False,
            break_long_words=False,
        )  # fmt: skip
    return text


def _text(mark: str, line: Line, width: int) -> list[str]:
    """Writes a line, and below it what it computes where there is no room beside it."""
    what = _what(line)
    if len(line.source) <= width and _BEFORE + width + len(what) <= _WIDTH:
        return [f"{mark}{line.source:<{width}}  {what}".rstrip()]
    room = _WIDTH - _BEFORE
    source = line.source if len(line.source) <= room else f"{line.source[: room - 1]}…"
    below = textwrap.wrap(what, room - 4, break_on_hyphens=False, break_long_words=False)
    return [f"{mark}{source}", *(f"{' ' * (_BEFORE + 2)}{part}" for part in below)]


def _what(line: Line) -> str:
    return f"WRONG: {line.what}".rstrip(": ") if line.status == "wrong" else line.what


def _site(line: Line) -> str:
    return f"{line.file}:{line.line}"
