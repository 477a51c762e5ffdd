"""Looking up a choice by the name that a person typed."""

from collections.abc import Mapping
from typing import TypeVar

__all__ = ["lookup"]

T = TypeVar("T")


def lookup(kind: str, table: Mapping[str, T], name: str) -> T:
    """Returns `table[name]`.

    Raises:
        ValueError: if there is no such name, with the names there are.
    """
    if name not in table:
        raise ValueError(f"unknown {kind} {name!r}; choose from {', '.join(sorted(table))}")
    return table[name]
