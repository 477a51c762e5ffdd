"""A published claim beside what was measured, and the rules by which it holds."""

import math
from typing import Any, NamedTuple

from compare.datasets import Dataset

__all__ = ["Claim", "Options", "percent", "reaches", "standard_error", "within"]


class Options(NamedTuple):
    """How the articles are run.

    Attributes:
        quick: a short version of each.
        seed: of what an article leaves open: a data set, a split, a draw of weights.
        mnist: the data of the articles on MNIST; None where none of them is run.
    """

    quick: bool = False
    seed: int = 0
    mnist: Dataset | None = None


class Claim(NamedTuple):
    """One published claim, measured.

    Attributes:
        claim: what is claimed.
        claimed: the published figures, or the statement itself.
        measured: the same, as it was found here.
        holds: whether it does; None where a shortened run cannot tell.
        values: the numbers behind `measured`.
        settings: with which it was measured.
        note: what a person should know beside it.
        published: whether these are the article's own settings; if not, this is the second run,
            with the setting that makes it work.
        timed: whether the figure is the machine's rather than the gradient's.
    """

    claim: str
    claimed: str
    measured: str
    holds: bool | None
    values: dict[str, Any]
    settings: str = ""
    note: str = ""
    published: bool = True
    timed: bool = False


def standard_error(share: float, rows: int) -> float:
    """Of a share that is counted on so many rows, by the binomial distribution."""
    return math.sqrt(max(share * (1 - share), 0) / rows)


def reaches(measured: float, claimed: float, rows: int) -> bool:
    """Whether an accuracy is at least the claimed one, short of it by two standard errors at most.

    Two, because other rows of the same kind would move the claimed figure by as much, one time in
    twenty.

    Args:
        measured: the accuracy, 0 to 1; NaN never reaches anything.
        claimed: the published one.
        rows: on which it is measured.
    """
    return measured >= claimed - 2 * standard_error(claimed, rows)


def within(measured: float, claimed: float, tolerance: float) -> bool:
    """Whether a figure is the claimed one, give or take `tolerance`."""
    return abs(measured - claimed) <= tolerance


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return "NaN" if math.isnan(share) else f"{100 * share:.{digits}f}%"
