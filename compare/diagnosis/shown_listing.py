"""The listing of a diagnosis as text: the person's lines, each with what it computes."""

from collections.abc import Sequence

from compare.diagnosis.case import Line
from compare.sites import shown

__all__ = ["listing_lines"]

_AROUND = 3
"""How many lines are shown before and after a suspect."""

_WIDEST = 60
"""How many characters of a line are shown."""


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
    width = min(max(len(listing[i].source) for i in near), _WIDEST)
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
        what = f"WRONG: {line.what}".rstrip(": ") if line.status == "wrong" else line.what
        source = line.source if len(line.source) <= width else f"{line.source[: width - 1]}…"
        text.append(f"  {mark} {line.line:>4}  {source:<{width}}  {what}".rstrip())
    others = [shown(suspect) for suspect in suspects[1:]]
    return [*text, f"  suspected as well: {', '.join(others)}"] if others else text


def _site(line: Line) -> str:
    return f"{line.file}:{line.line}"
