"""Names for a mistake whose place is known: what was found there, beside what should be there.

Each function looks at one relation of the two and returns a name with a story, or None. Nothing is
named whose relation has as many unknowns as there are numbers.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from compare.diagnosis.case import distance
from compare.diagnosis.hypotheses import distinct_numbers
from compare.diagnosis.locating.expectations import same
from compare.diagnosis.mending.axes import core
from compare.diagnosis.watching.differences import (
    difference,
    matrix,
    sums,
    turns_lost,
    written_over,
)
from compare.diagnosis.watching.references import Match
from compare.diagnosis.watching.spots import Known, Named, Spot, close, told
from compare.trees import in_double, largest

__all__ = ["named"]


def named(spot: Spot, known: Known) -> Named | None:
    """The first relation that holds."""
    found, expected = _all(spot)
    if found.size == 0 or distance(found, expected) < 1e-6 * largest(expected):
        return None  # Nearly right in every way.
    relations = _OF_COMPLEX if np.iscomplexobj(expected) or np.iscomplexobj(found) else _RELATIONS
    with np.errstate(all="ignore"):
        return next((name for relation in relations for name in relation(spot, known)), None)


def _all(spot: Spot) -> tuple[np.ndarray, np.ndarray]:
    """Found and expected in one row each, where the expected numbers are known."""
    found, expected = _row(spot.found), _row(spot.expected)
    if not np.isnan(largest(expected)):
        return found, expected
    known = ~np.isnan(expected)
    return found[known], expected[known]


def _row(turns: list[np.ndarray]) -> np.ndarray:
    """All turns in one row; of one no copy is made."""
    rows = [in_double(turn).ravel() for turn in turns]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _factor(spot: Spot, known: Known) -> Iterator[Named]:
    """Times a number; of one entry any other is a multiple."""
    found, expected = _all(spot)
    if not expected.any() or not found.any():
        return
    # Of complex numbers the real part: times another number they are not close.
    factor = float(np.vdot(expected, found).real / np.vdot(expected, expected).real)
    if not close(found, expected, factor) or abs(factor - 1) < 1e-5:
        return
    if np.isclose(factor, -1, rtol=1e-9):
        yield Named("sign_flipped", "it has the wrong sign")
    if distinct_numbers(expected) < 2:
        return
    for m in known.batch & known.means:
        if np.isclose(factor, m, rtol=1e-9) and m != 2:
            yield Named("missing_batch_mean", f"the division by the batch size {m} is left out")
        if np.isclose(factor, 1 / m, rtol=1e-9) and m != 2:
            yield Named("extra_batch_mean", f"it is divided by the batch size {m} once more")
    yield Named("constant_factor", f"it is {factor:.10g} times what it should be")


def _per_block(spot: Spot, known: Known) -> Iterator[Named]:
    """Divided by the size of each block of a loop, where the loss divides by that of all."""
    for sizes in zip(*(np.shape(found) for found in spot.found), strict=False):
        whole = sum(sizes)
        if whole in known.means and len(set(sizes)) > 1:
            mended = [f * n / whole for f, n in zip(spot.found, sizes, strict=True)]
            if close(*_all(spot._replace(found=mended))):
                story = f"each block is divided by its own size, not by that of all, {whole}"
                yield Named("wrong_value", story)


def _transposed(spot: Spot, known: Known) -> Iterator[Named]:
    pairs = list(zip(spot.found, spot.expected, strict=True))
    if all(f.ndim == 2 and f.shape == e.shape[::-1] and same(f.T, e) for f, e in pairs):
        yield Named("transposed", "it is the transpose of what it should be")


def _masks(spot: Spot, known: Known) -> Iterator[Named]:
    """Entries that should be nothing, and entries that should not."""
    found, expected = _all(spot)
    away = expected == 0
    if away.any() and found[away].any() and not away.all() and close(found[~away], expected[~away]):
        yield Named("mask_missing", f"{np.sum(found[away] != 0)} entries that should be 0 are not")
        return
    differs = np.abs(found - expected) > 1e-9 * np.max(np.abs(expected), initial=0)
    filled = found[differs]
    is_mask = not np.any(expected * (expected - 1))
    told_apart = is_mask or distinct_numbers(expected[~differs]) > 1
    if filled.size and not differs.all() and not np.ptp(filled) and told_apart:
        story = f"{filled.size} entries are {filled[0]:.3g} that should not be"
        yield Named("mask_extra", story)


def _places(spot: Spot, known: Known) -> Iterator[Named]:
    """The right numbers, in other places; over the turns of a loop, at other turns."""
    found, expected = _all(spot)
    if distinct_numbers(expected) < 2:
        return
    if len(spot.found) > 1:
        backwards = np.concatenate([in_double(e).ravel() for e in spot.expected[::-1]])
        if close(found, backwards):
            yield Named("time_reversed", "the steps are taken in the opposite order")
            return
    if close(np.sort(found), np.sort(expected)):
        yield Named("wrong_places", "the right numbers are in the wrong places")


def _other_derivative(spot: Spot, known: Known) -> Iterator[Named]:
    """The derivative by another value in its place."""
    match = spot.match(0)
    if match is None or match.reference.kind != "gradient":
        return
    here = spot.leaf if spot.leaf is not None else spot.reference and spot.reference.slot
    there = match.reference.slot
    if here is None or here == there:
        return
    about = match.reference.about or "another value"
    if _is_a_term_of(here, spot.found[0], known):
        yield Named("path_cut", "it is one term of the derivative, and the others are left out")
        return
    if activation := known.activation(spot.expected[0], there):
        story = f"it is the derivative by the output of {activation}, not by its input"
        yield Named("missing_activation_derivative", story)
    elif abs(match.factor) == 1 and known.leads_to(here, there):
        story = f"it is the derivative by {about}, which is computed from it: the step from there "
        story += "back to it is missing"
        yield Named("chain_step_missing", story)
    elif abs(match.factor) == 1:
        yield Named("wrong_value", f"it is the derivative by another value ({about})")


def _is_a_term_of(slot: int, found: np.ndarray, known: Known) -> bool:
    """Whether numbers are what one use of a value adds to the derivative by it."""
    matches = known.references.matches(found, ("term",))
    return any(match.exact and match.reference.slot == slot for match in matches)


def _ratio(spot: Spot, known: Known) -> Iterator[Named]:
    """Times, or divided by, something known."""
    found, expected = in_double(spot.found[0]), in_double(spot.expected[0])
    if np.isnan(expected).any() or not (found[expected != 0]).all() or found[expected == 0].any():
        return
    ratio = core(np.where(expected != 0, expected / np.where(found != 0, found, 1), np.nan))
    if ratio is None or distinct_numbers(ratio) < 2:
        return
    powers = (ratio, "missing"), (1 / ratio, "divided")
    roots = (np.sqrt(ratio), "missing"), (1 / np.sqrt(ratio), "divided")
    of = [
        (known.references.match(own, ("value", "slope")), what) for own, what in (*powers, *roots)
    ]
    exact = [match is not None and abs(match.factor) == 1 for match, _ in of]
    # What it is, and then what it is a multiple of.
    for n in sorted(range(len(of)), key=lambda n: not exact[n]):
        match, what = of[n]
        if match is not None:
            yield _named_ratio(match, what, is_root=n >= len(powers))
            return
    match = known.references.match(1 - ratio, ("value",))
    if match is not None and match.factor == 1:
        yield Named("missing_factor", f"it has to be multiplied by 1 − {told(match.reference)}")


def _named_ratio(match: Match, what: str, *, is_root: bool) -> Named:
    """What it is called that numbers have to be multiplied, or divided, by something known."""
    about = match.reference.about or "a value of the loss"
    if match.reference.kind == "slope" and is_root and abs(match.factor) == 1:
        verbs = ("divided", "multiplied") if what == "missing" else ("multiplied", "divided")
        story = f"it is {verbs[0]} by the derivative of {about}, and should be {verbs[1]} by it"
        return Named("wrong_derivative", story)
    if match.reference.kind == "slope" and what == "missing" and match.factor == 1:
        return Named("missing_activation_derivative", f"the derivative of {about} is left out")
    if match.reference.kind == "slope" and match.factor == 1:
        return Named("activation_derivative_twice", f"the derivative of {about} is in it twice")
    if abs(match.factor) == 1:
        verb = "multiplied" if what == "missing" else "divided"
        of = "the square of " if is_root else ""
        return Named("missing_factor", f"it has to be {verb} by {of}{told(match.reference)}")
    return Named("wrong_value", f"a number stands where {about} belongs")


def _summand(spot: Spot, known: Known) -> Iterator[Named]:
    """Of a sum of two terms one has to be multiplied, or divided, by something known."""
    found, expected = in_double(spot.found[0]), in_double(spot.expected[0])
    terms = [
        own
        for own in spot.inputs[0]
        if isinstance(own, np.ndarray) and own.dtype.kind == "f" and own.shape == found.shape
    ]
    for term, other in itertools.permutations(terms, 2):
        if same(term + other, found):
            yield from _ratio(spot._replace(found=[term], expected=[expected - other]), known)


def _exchanged(spot: Spot, known: Known) -> Iterator[Named]:
    """One factor of a product is another known value than the one that belongs there."""
    found, expected = in_double(spot.found[0]), in_double(spot.expected[0])
    if found.shape != expected.shape or np.isnan(expected).any() or distinct_numbers(expected) < 3:
        return
    factors = [r for r in known.references.of_size(found.size)
               if r.kind in ("value", "slope") and r.array.shape == found.shape
               and np.all(r.array != 0)]  # fmt: skip
    rest = [(factor, found / factor.array) for factor in factors]
    for right in factors:
        wanted = expected / right.array
        for factor, own in rest:
            if factor is not right and close(own, wanted):
                # The slope of the same function is derived rightly, but taken somewhere else.
                alike = (factor.kind, factor.about) == (right.kind, right.about)
                derived = right.kind == "slope" and not alike
                bug = "wrong_derivative" if derived else "wrong_value"
                yield Named(bug, f"{told(factor)} stands where {told(right)} belongs")
                return


def _other_value(spot: Spot, known: Known) -> Iterator[Named]:
    """One value of the forward pass where another belongs."""
    right, match = spot.reference, spot.match(0)
    if right is None or match is None or right.kind != "value" or not match.exact:
        return
    if match.reference.kind == "value":
        story = f"{told(match.reference)} stands where {told(right)} belongs"
        yield Named("wrong_value", story)


def _slopes(spot: Spot, known: Known) -> Iterator[Named]:
    if spot.reference is not None and spot.reference.kind == "slope":
        about = spot.reference.about
        yield Named("wrong_derivative", f"it should be the derivative of {about}")


def _at_every_turn(relation: Any) -> Any:
    """The relation that holds at every turn of a loop at which there is something wrong."""

    def of_all(spot: Spot, known: Known) -> Iterator[Named]:
        names = [next(relation(turn, known), None) for turn in _turns(spot, known)]
        first = next(iter(names), None)
        if first and all(name and name.bug == first.bug for name in names):
            yield first

    return of_all


def _turns(spot: Spot, known: Known) -> Iterator[Spot]:
    """A spot of its own for every turn whose numbers are wrong."""
    if len(spot.found) == 1:
        yield spot
        return
    turns = zip(spot.found, spot.expected, spot.inputs, strict=True)
    for i, (found, expected, inputs) in enumerate(turns):
        if np.isnan(expected).any() or not same(found, expected):
            right = known.references.match(expected) if spot.reference else None
            reference = right.reference if right and right.exact else spot.reference
            match = functools.partial(lambda turn, _: spot.match(turn), i)
            yield Spot([found], [expected], [inputs], match, reference, spot.leaf)


_AT_A_TURN = (_ratio, _exchanged, difference, sums, matrix, _summand)

_RELATIONS = (
    _factor,
    _per_block,
    _transposed,
    _at_every_turn(turns_lost),
    _at_every_turn(written_over),
    _at_every_turn(_other_value),
    _places,
    _at_every_turn(_other_derivative),
    _masks,
    *(_at_every_turn(relation) for relation in _AT_A_TURN),
    _slopes,
)

_OF_COMPLEX = (_factor, _transposed, _at_every_turn(_other_value), _places)
"""The relations that mean the same for complex numbers."""
