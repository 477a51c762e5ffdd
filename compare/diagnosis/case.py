"""A wrong gradient to be explained, and what an explanation is."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.trees import largest, largest_difference

__all__ = ["Case", "Diagnosis", "Leaves", "Line", "distance", "near"]

Leaves = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Case:
    """A wrong gradient and what is known about it; all arrays are float64.

    Attributes:
        loss: `loss(list of leaves, list of constants) -> scalar`.
        leaves: the parameters by path.
        constants: the arrays of the other arguments.
        wrong: the candidate's gradient by path.
        right: the right gradient by path.
        tolerances: what rounding explains, by path, at the size of the right gradient.
        candidate: runs the candidate once, as plain Python in float64, and returns its gradient by
            path; None where it is not to be run again.
    """

    loss: Callable[[list[Any], list[Any]], Any]
    leaves: Leaves
    constants: list[Any]
    wrong: Leaves
    right: Leaves
    tolerances: dict[str, float]
    candidate: Callable[[], dict[str, Any]] | None = None

    def paths(self) -> list[str]:
        """The leaves that are wrong."""
        return [*self._paths]

    @functools.cached_property
    def _paths(self) -> list[str]:
        return [p for p in self.leaves if distance(self.wrong[p], self.right[p]) > self.limit(p)]

    def limit(self, path: str) -> float:
        """The tolerance of a leaf at the size of the candidate's numbers, which may be larger."""
        return self._limits[path]

    @functools.cached_property
    def _limits(self) -> dict[str, float]:
        limits = {}
        for path, tolerance in self.tolerances.items():
            size, wrong = (largest(g) for g in (self.right[path], self.wrong[path]))
            limits[path] = tolerance * max(1.0, wrong / size if size else 1.0)
        return limits

    def fits(self, path: str, leaf: np.ndarray) -> bool:
        """Whether a leaf is the candidate's to rounding."""
        return near(leaf, self.wrong[path], self.limit(path))

    def cancels(self) -> bool:
        """Whether what is wrong is zero to rounding, where it was not left at zero."""
        wrong = {path: largest(self.wrong[path]) for path in self.paths()}
        return all(0 < size <= self.tolerances[path] for path, size in wrong.items())

    def explains(self, gradient: Leaves) -> bool:
        """Whether a gradient is the candidate's to rounding, on every leaf."""
        return all(self.fits(path, gradient[path]) for path in self.leaves)


@dataclass(frozen=True)
class Line:
    """A line of the candidate's source, and what it computes.

    Attributes:
        file: where it is.
        line: its number.
        source: its text.
        variable: what it assigns to, as written; "" if to nothing.
        what: what its result is: a value of the loss, the derivative by one, or "".
        status: `right`, `wrong`, `follows` (wrong because of another line) or `unrecognised`.
    """

    file: str
    line: int
    source: str
    variable: str
    what: str
    status: str


@dataclass(frozen=True)
class Diagnosis:
    """What went wrong in a hand-derived gradient.

    Attributes:
        bug: the name of the mistake, such as `missing_activation_derivative`; or `unknown`.
        path: a leaf that it spoils.
        site: `file:line` of the loss where the mistake is made; "" where the source is not known.
        evidence: a sentence with numbers.
        confirmed: whether the mistake, made on purpose, gives the candidate's numbers in every
            leaf, to rounding.
        also: other names whose mistakes give the very same numbers: none of them is the bug.
        suspects: `file:line` of the candidate's own source where the mistake can be, the most
            likely first; () where the candidate could not be watched.
        listing: the candidate's lines, with what each computes.
    """

    bug: str
    path: str
    site: str
    evidence: str
    confirmed: bool
    also: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    listing: tuple[Line, ...] = ()


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the largest difference of any entry."""
    return largest_difference(a, b)


def near(a: np.ndarray, b: np.ndarray, limit: float, factor: float = 1.0) -> bool:
    """Tells whether a is a factor times b in every entry, each in its own order, to a limit."""
    # What is not there at once need not be read to its end.
    if a.size > _MANY and distance(a.flat[:_SOME], factor * b.flat[:_SOME]) > limit:
        return False
    if a.shape != b.shape:
        a, b = a.ravel(), b.ravel()
    return largest_difference(a, b, factor) <= limit


_MANY, _SOME = 4096, 256
