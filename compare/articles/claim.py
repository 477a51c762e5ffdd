"""Claims: what was published beside what was measured, and the rules by which a claim holds."""

import math
from typing import Any, NamedTuple

from compare.datasets import Dataset

__all__ = ["Claim", "Options", "percent", "reaches", "standard_error", "within"]


class Options(NamedTuple):
    """How the articles are run.

    Attributes:
        quick: whether to run a short version of each.
        seed: of what an article leaves open: a data set, a split, a draw of weights.
        mnist: the data for the articles on MNIST; None if none of them is run.
    """

    quick: bool = False
    seed: int = 0
    mnist: Dataset | None = None


class Claim(NamedTuple):
    """One published claim, measured.

    Attributes:
        claim: what is claimed, in words.
        claimed: the published figures, or the statement itself.
        measured: the figures that were measured here.
        holds: whether the claim holds; None if a shortened run cannot tell.
        values: the numbers behind `measured`.
        settings: the settings of the measurement.
        note: what a reader should know about it, or "".
        published: whether these are the article's own settings; if not, this is the second run,
            with a setting that makes the claim hold.
        timed: whether the figure is a time, which depends on the machine.
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
    """Computes the standard error of a share counted on so many rows (binomial distribution)."""
    return math.sqrt(max(share * (1 - share), 0) / rows)


def reaches(measured: float, claimed: float, rows: int) -> bool:
    """Tells whether an accuracy is below the claimed one by two standard errors at most.

    Chance moves an accuracy by two standard errors or more one time in twenty: that often, another
    sample of rows would give a figure as far from the claimed one.

    Args:
        measured: the accuracy, 0 to 1; for NaN the answer is no.
        claimed: the published accuracy.
        rows: the number of rows it is measured on.
    """
    return measured >= claimed - 2 * standard_error(claimed, rows)


def within(measured: float, claimed: float, tolerance: float) -> bool:
    """Tells whether a figure is within `tolerance` of the claimed one."""
    return abs(measured - claimed) <= tolerance


def percent(share: float, digits: int = 1) -> str:
    """Formats a share as a percentage."""
    return "NaN" if math.isnan(share) else f"{100 * share:.{digits}f}%"
