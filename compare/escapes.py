"""Text from outside, made safe to show."""

__all__ = ["escaped", "first_line", "first_sentence"]


def escaped(text: str) -> str:
    r"""Shows what does not print as an escape: a line break as `\n`, the start of a code as `\x1b`.

    A name, a path or a line of source may hold what moves a terminal's cursor, ends the line, or
    turns the direction of reading; none of it does so here.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def first_line(error: BaseException, *, kind: bool = False) -> str:
    """Tells an error in a line: the first of its text, or its type's name where it has none.

    Args:
        error: a bare `assert` raises one without a text.
        kind: whether its type's name stands before the text.
    """
    name = type(error).__name__
    lines = str(error).strip().splitlines()
    if not lines:
        return name
    return f"{name}: {lines[0]}" if kind else lines[0]


def first_sentence(error: BaseException) -> str:
    """Tells an error in its first sentence, without the stop; cut where that is long."""
    line = first_line(error)
    sentence = line.split(". ", 1)[0].removesuffix(".")
    return sentence if len(sentence) <= _LONGEST else f"{sentence[: _LONGEST - 1]}…"


_LONGEST = 120
