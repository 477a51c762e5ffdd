"""Compares what a page shows with what is printed: the words count, the numbers may differ."""

import re

__all__ = ["without_numbers"]

_NUMBER = re.compile(r"(?<![\w:])[-−]?\d+(\.\d+)?(e[-+]\d+)?(?!\w)")


def without_numbers(text: str) -> str:
    """Returns the words alone: whatever a number and a space are; line numbers stay."""
    return re.sub(r"\s+", " ", _NUMBER.sub("#", text)).strip()
