"""What a candidate comes by that computes nothing: values that are handed on as they are."""

from typing import Any, NamedTuple

from jax.core import Tracer

__all__ = ["Handed", "Idle", "Passed"]


class Passed(NamedTuple):
    """A value that a function gave back as it was given it.

    Attributes:
        site: the `file:line` where it returns.
        value: the numbers.
        alone: whether that is all that it returns.
    """

    site: str
    value: Any
    alone: bool


class Handed(NamedTuple):
    """Values that a line hands on and does not compute: it gives one a name, or returns them.

    Attributes:
        site: its `file:line`.
        values: the arrays.
        name: the name that it gives; "" where it returns them.
        source: the name that the value has already.
    """

    site: str
    values: list[Any]
    name: str = ""
    source: str = ""


class Idle(NamedTuple):
    """What a run comes by that computes nothing, as if left to be done.

    Attributes:
        passed: what functions return as they are given it.
        handed: what lines hand on.
    """

    passed: list[Passed]
    handed: list[Handed]

    def of_numbers(self) -> "Idle":
        """Returns it without what JAX was tracing just then, as it does in a branch."""
        return Idle(
            [own for own in self.passed if not isinstance(own.value, Tracer)],
            [own for own in self.handed if not any(isinstance(x, Tracer) for x in own.values)],
        )
