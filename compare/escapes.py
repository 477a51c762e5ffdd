"""Text from outside, made safe to show."""

__all__ = ["escaped"]


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
