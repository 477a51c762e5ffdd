"""Names for a mistake by what is too much in the numbers, or too little: a term, a sum, a product.

Each function looks at one relation, as those of `relations` do.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from compare.diagnosis.hypotheses import distinct_numbers
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.mending.axes import splits
from compare.diagnosis.mending.written import only_the_last_is_written
from compare.diagnosis.watching.references import Match
from compare.diagnosis.watching.spots import OVERWRITTEN, Known, Named, Spot, close, told
from compare.trees import in_double, largest

__all__ = ["difference", "matrix", "sums", "turns_lost", "written_over"]


def difference(spot: Spot, known: Known) -> Iterator[Named]:
    """Something known too much, or too little."""
    found, expected = in_double(spot.found[0]), in_double(spot.expected[0])
    if np.isnan(expected).any() or found.shape != expected.shape:
        return
    if largest(found) <= 1e-12 * largest(expected):
        return  # Zeros, or what cancels to zero: all of it would be too little.
    difference = found - expected
    if distinct_numbers(difference) == 1 and difference.all() and distinct_numbers(expected) > 1:
        number = float(difference.ravel()[0])
        if np.ptp(difference) <= 1e-9 * abs(number):
            if spot.compared:
                story = f"what is compared is {abs(number):.6g} too {_much(number)}"
                yield Named("wrong_value", story)
            if np.asarray(spot.found[0]).dtype.kind in "iu":
                yield Named("wrong_places", f"the places are shifted by {number:.6g}")
            yield from _constant(spot, number, known)
            return
    if found.size < 3:
        return
    matches = [*known.references.matches(difference, ("term", "gradient"))]
    for match in matches:
        about = told(match.reference).removeprefix("a term of ")
        if match.reference.slot in known.held:
            yield Named("extra_term", f"{about}, which stop_gradient holds, is in it")
        elif np.isclose(match.factor, -1, rtol=1e-8):
            yield Named("path_cut", f"a term of {about} is left out")
        elif np.isclose(match.factor, -2, rtol=1e-8) and _is_one_of_two(match, matches):
            yield Named("path_cut", f"two equal terms of {about} are left out")
        elif np.isclose(match.factor, -2, rtol=1e-8):
            yield Named("sign_flipped", f"a term of {about} has the wrong sign")
        elif np.isclose(match.factor, 1, rtol=1e-8):
            yield Named("extra_term", f"a term of {about} is in it twice")
    for use in known.references.uses(found.size):
        if use.array.shape == found.shape and same(difference, -use.array):
            yield Named("path_cut", f"{told(use)} is left out, at every turn of a loop")


def _much(number: float) -> str:
    return "large" if number > 0 else "small"


def _constant(spot: Spot, number: float, known: Known) -> Iterator[Named]:
    """The same number too much everywhere: one that is added, or a wrong one that is."""
    inputs = [np.asarray(own) for own in spot.inputs[0]]
    numbers = [x for x in inputs if x.dtype.kind in "fiu" and x.size and not np.ptp(x)]
    added = [float(x.flat[0]) for x in numbers]
    # It may be subtracted.
    right = [own + sign * number for own in added for sign in (1, -1)]
    if len(set(added)) != 1 or any(abs(own) < 1e-9 * abs(number) for own in right):
        yield Named("extra_term", f"{number:.6g} too much in every entry")
        return
    for own, m in itertools.product(right, known.batch & known.means):
        if np.isclose(added[0], m * own, rtol=1e-9):
            story = f"the constant {added[0]:.6g} has to be divided by the batch size {m}"
            yield Named("missing_batch_mean", story)
    yield Named("wrong_value", f"another constant belongs there than {added[0]:.6g}")


def _is_one_of_two(match: Match, matches: list[Match]) -> bool:
    """Whether another use of the same value adds the same, as the two of x x do."""
    alike = [
        m for m in matches if (m.reference.kind, m.reference.slot) == ("term", match.reference.slot)
    ]
    return match.reference.kind == "term" and len(alike) > 1


def sums(spot: Spot, known: Known) -> Iterator[Named]:
    """Of the terms of a sum one is kept, or others are added up."""
    found, expected = in_double(spot.found[-1]), in_double(spot.expected[-1])
    for terms in spot.inputs[-1]:
        terms = np.asarray(terms)
        if terms.dtype.kind != "f" or expected.size < 2 or terms.size % expected.size:
            continue
        for axis in range(terms.ndim):
            for split in splits(terms, axis, expected.shape):
                if same(split.sum(axis=axis), expected):
                    if any(same(np.take(split, i, axis=axis), found)
                           for i in range(split.shape[axis])):  # fmt: skip
                        yield Named("overwritten_not_accumulated", "one term of a sum is kept")
                    else:
                        yield Named("summed_wrongly", "other terms should be added up")
                    return


def turns_lost(spot: Spot, known: Known) -> Iterator[Named]:
    """Of what the turns of a loop give, one is kept and the sum should be."""
    found, expected = in_double(spot.found[0]), in_double(spot.expected[0])
    if np.isnan(expected).any() or distinct_numbers(expected) < 2:
        return
    for turns in known.turns():
        if only_the_last_is_written(found, expected, turns):
            yield Named("dropped_examples", "the last turn of a loop alone is written")
            return
        if turns[0].shape != expected.shape or not any(same(own, found) for own in turns):
            continue
        if same(np.sum(turns, axis=0), expected):
            story = f"of {len(turns)} turns of a loop one is kept, and all should be added up"
            yield Named("overwritten_not_accumulated", story)
            return


def written_over(spot: Spot, known: Known) -> Iterator[Named]:
    """A place that is written more than once, where all that is written should be added up."""
    found, expected = in_double(spot.found[0]), in_double(spot.expected[0])
    for own in known.written():
        alike = own.lost.shape == found.shape == expected.shape
        if alike and same(found + own.lost, expected):
            yield OVERWRITTEN
            return


def matrix(spot: Spot, known: Known) -> Iterator[Named]:
    """A matrix product left out."""
    found, expected = in_double(spot.found[-1]), in_double(spot.expected[-1])
    if np.isnan(expected).any() or found.ndim not in (1, 2) or found.size < 2:
        return
    n, last = found.shape[0], found.shape[-1]
    for references in (known.references, known.own):
        for reference in [r for size in {n * n, last * last} for r in references.of_size(size)]:
            k = reference.array
            if k.ndim != 2 or k.shape[0] != k.shape[1]:
                continue
            for matrix in (k, k.T):
                right = len(matrix) == last and close(found @ matrix, expected)
                left = len(matrix) == n and close(matrix @ found, expected)
                if right or left:
                    name = reference.about or "a matrix"
                    yield Named("missing_factor", f"the product with {name} is left out")
                    return
