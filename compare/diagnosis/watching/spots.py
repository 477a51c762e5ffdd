"""A place where a candidate's numbers are wrong, and what is known to name the mistake by."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.case import near
from compare.diagnosis.mending.written import Written
from compare.diagnosis.watching.references import Match, Reference, References
from compare.sites import shown
from compare.trees import largest

__all__ = ["OVERWRITTEN", "Known", "Named", "Spot", "close", "told"]


class Named(NamedTuple):
    """The name of a mistake, and the sentence that tells it."""

    bug: str
    story: str


class Spot(NamedTuple):
    """One operation of the candidate that gives wrong numbers.

    Attributes:
        found: its numbers, at every turn of a loop, where all that the turn is given is right.
        expected: the right ones; NaN where they are not known.
        inputs: the values that it is computed from, at every turn.
        match: what the found numbers are recognised as at a turn, by its number.
        reference: what the expected ones are; None where that has no name.
        leaf: the slot of the parameter, where the expected numbers are its gradient.
        compared: whether its numbers are what others are to be below, or above, and no more.
    """

    found: list[np.ndarray]
    expected: list[np.ndarray]
    inputs: list[list[np.ndarray]]
    match: Callable[[int], Match | None]
    reference: Reference | None
    leaf: int | None
    compared: bool = False


class Known(NamedTuple):
    """What the relations are told about the loss and the candidate.

    Attributes:
        references: the values of the loss and of its derivative.
        own: the candidate's own values.
        turns: `turns()`: what each of its operations gives at every turn of a loop.
        written: `written()`: its arrays of which some place is written more than once.
        leads_to: `leads_to(slot, other)`: whether a slot of the loss is computed from another.
        activation: `activation(gradient, slot)`: the name of the activation that makes a slot of
            what has this gradient, or "".
        means: what the loss divides by, where it takes a mean.
        batch: the sizes of the batch.
        held: the slots of what the loss holds by `stop_gradient`.
    """

    references: References
    own: References
    turns: Callable[[], list[list[np.ndarray]]]
    written: Callable[[], list[Written]]
    leads_to: Any
    activation: Any
    means: set[int]
    batch: set[int]
    held: Collection[int] = ()


def told(reference: Reference) -> str:
    """Says what a reference is and where it is in the loss."""
    about = reference.about or "a value"
    what = {
        "gradient": f"the derivative by {about}",
        "term": f"a term of the derivative by {about}",
        "slope": f"the slope of {about}",
        "conjugate": f"the conjugate of the derivative by {about}",
        "value": about,
    }[reference.kind]
    return f"{what} ({shown(reference.site)})" if reference.site else what


def close(a: np.ndarray, b: np.ndarray, factor: float = 1.0) -> bool:
    """Whether a is a factor times b, to rounding."""
    return a.shape == b.shape and near(a, b, 1e-8 * abs(factor) * largest(b), factor)


OVERWRITTEN = Named(
    "overwritten_not_accumulated",
    "a place is written more than once, and what is written should be added to what is there",
)
