"""What is wrong, of what was found beside what should be there; and no name without a reason."""

import numpy as np
import pytest

from compare.diagnosis.mending.written import Written
from compare.diagnosis.watching.references import Match, Reference, References
from compare.diagnosis.watching.relations import named
from compare.diagnosis.watching.spots import Known, Spot

RNG = np.random.default_rng(0)
USES = np.random.default_rng(1).standard_normal((3, 5, 4))
E, OTHER, TERM, POSITIVE = RNG.standard_normal((4, 5, 4))
EQUAL = np.random.default_rng(2).standard_normal((5, 4))
FEATURE, SQUARE = RNG.standard_normal(4), RNG.standard_normal((4, 4))


def reference(array, kind="value", slot=0, about="it"):
    return Reference(kind, slot, np.asarray(array), "loss.py:3", about, (kind, slot))


ALL = [
    reference(FEATURE, slot=1),
    reference(OTHER, "slope", 2, "tanh"),
    reference(TERM, "term", 3),
    reference(SQUARE, slot=4),
    reference(TERM + E, "gradient", 5, "z"),
    reference(POSITIVE, slot=6),
    reference(POSITIVE**2, "slope", 7, "tanh"),
    *(reference(own, "term", 8, "h") for own in USES),
    reference(np.abs(FEATURE), slot=11),
    *(reference(EQUAL, "term", 10, "x")._replace(family=n) for n in range(2)),
]


def spot(found, expected=E, **given):
    many = isinstance(found, list)
    turns = len(found) if many else 1
    details = {"inputs": [[]] * turns, "match": lambda turn: None, "reference": None, "leaf": None}
    return Spot(found if many else [found], expected if many else [expected], **details | given)


KNOWN = Known(
    References(ALL), References([]), lambda: [[E, OTHER]],
    lambda: [Written((0, 1), SQUARE, (SQUARE,))],
    lambda slot, other: (slot, other) == (9, 5),
    lambda gradient, slot: "tanh" if slot == 7 else "", {5}, {5},
)  # fmt: skip
COMPLEX = E + 1j * OTHER
ROWS = np.where(np.arange(5)[:, None] > 2, 0, E)

RELATIONS = {
    "twice": (spot(2 * E), "constant_factor"),
    "negative": (spot(-E), "sign_flipped"),
    "the batch": (spot(5 * E), "missing_batch_mean"),
    "the batch again": (spot(E / 5), "extra_batch_mean"),
    "a transpose": (spot(SQUARE.T, SQUARE), "transposed"),
    "no mask": (spot(E, ROWS), "mask_missing"),
    "a mask": (spot(ROWS, E), "mask_extra"),
    "other rows": (spot(E[::-1]), "wrong_places"),
    "places one further": (spot(np.arange(4) + 3, np.arange(4)), "wrong_places"),
    "another factor": (spot(E * OTHER, E * POSITIVE), "wrong_value"),
    "the same function's slope elsewhere": (spot(E * POSITIVE**2, E * OTHER), "wrong_value"),
    "another slope": (spot(E * POSITIVE, E * OTHER), "wrong_derivative"),
    "one turn of a loop": (spot(E, E + OTHER), "overwritten_not_accumulated"),
    "what was written lost": (
        spot(SQUARE**2, SQUARE + SQUARE**2), "overwritten_not_accumulated"),
    "a use left out at every turn of a loop": (
        spot(E, E + USES.sum(0)), "path_cut"),
    "a known factor left out of one of two terms": (
        spot(E + OTHER, E * POSITIVE + OTHER, inputs=[[OTHER, E]]), "missing_factor"),
    "a term left out at every turn": (
        spot([E - TERM, 2 * E - TERM], [E, 2 * E]), "path_cut"),
    "a term left out at one turn": (spot([E, 2 * E - TERM], [E, 2 * E]), "path_cut"),
    "another mistake at every turn": (spot([E - TERM, E + TERM], [E, E]), None),
    "turns backwards": (spot([E[0], E[1], E[2]], [E[2], E[1], E[0]]), "time_reversed"),
    "a known factor": (spot(E / FEATURE), "missing_factor"),
    "1 less a known factor": (spot(E, E * (1 - POSITIVE)), "missing_factor"),
    "a slope left out": (spot(E / OTHER), "missing_activation_derivative"),
    "a slope twice": (spot(E * OTHER), "activation_derivative_twice"),
    "divided by a slope": (spot(E / POSITIVE**4), "wrong_derivative"),
    "a known square": (spot(E / FEATURE**2), "missing_factor"),
    "two equal terms left out": (spot(E - 2 * EQUAL), "path_cut"),
    "a constant for another": (
        spot(E - 7, E - 4, inputs=[[E, np.asarray(7.0)]]), "wrong_value"),
    "a constant that the batch divides": (
        spot(E - 7, E - 1.4, inputs=[[E, np.asarray(7.0)]]), "missing_batch_mean"),
    "a constant that is added": (
        spot(E + 7, E, inputs=[[E, np.asarray(7.0)]]), "extra_term"),
    "a number for a value": (spot(E / 3 * FEATURE), "wrong_value"),
    "a term left out": (spot(E - TERM), "path_cut"),
    "a term subtracted": (spot(E - 2 * TERM), "sign_flipped"),
    "a term twice": (spot(E + TERM), "extra_term"),
    "one more": (spot(E + 1), "extra_term"),
    "a matrix": (spot(E @ np.linalg.inv(SQUARE)), "missing_factor"),
    "one term of a sum": (
        spot(E, E + OTHER, inputs=[[np.stack([E, OTHER])]]), "overwritten_not_accumulated"),
    "each block by its own size": (
        spot([E[:3] * 5 / 3, E[3:] * 5 / 2], [E[:3], E[3:]]), "wrong_value"),
    "each block by something else": (spot([E[:3] * 3, E[3:] * 2], [E[:3], E[3:]]), None),
    "other terms": (
        spot(E[::2].sum(0), E[:2].sum(0), inputs=[[E[:, None]]]), None),
    "a complex factor of 3": (spot(3 * COMPLEX, COMPLEX), "constant_factor"),
    "complex and negative": (spot(-COMPLEX, COMPLEX), "sign_flipped"),
    "complex and turned": (spot(1j * COMPLEX, COMPLEX), None),
    "complex rows": (spot(COMPLEX[::-1], COMPLEX), "wrong_places"),
    "a conjugate": (spot(COMPLEX.conj(), COMPLEX), None),
    "an imaginary part left out": (spot(COMPLEX.real, COMPLEX), None),
    "another function's": (
        spot(E**3, reference=reference(E, "slope", about="abs")), "wrong_derivative"),
}  # fmt: skip


@pytest.mark.parametrize("name", RELATIONS)
def test_the_name_of_a_relation(name):
    given, expected = RELATIONS[name]
    found = named(given, KNOWN)
    assert (found and found.bug) == expected


def test_the_sum_of_other_groups():
    terms = RNG.standard_normal((6, 4))
    right = terms.reshape(2, 3, 4).sum(1)
    wrong = terms.reshape(3, 2, 4).sum(0)
    found = named(spot(wrong, right, inputs=[[terms]]), KNOWN)
    assert found is not None
    assert found.bug == "summed_wrongly"


def test_the_derivative_by_what_is_held_does_not_belong_there():
    for wrong in (E + TERM, E - TERM):
        found = named(spot(wrong), KNOWN._replace(held={3}))
        assert found is not None
        assert found.bug == "extra_term"
        assert "which stop_gradient holds, is in it" in found.story


@pytest.mark.parametrize(("slot", "name"), [(9, "chain_step_missing"), (8, "wrong_value")])
def test_the_derivative_by_another_value(slot, name):
    match = KNOWN.references.match(TERM + E)
    given = spot(TERM + E, RNG.standard_normal((5, 4)), match=lambda turn: match, leaf=slot)
    found = named(given, KNOWN)
    assert found is not None
    assert found.bug == name


def test_one_of_several_terms_lacks_no_step():
    match = Match(reference(TERM, "gradient", 5), None, 1.0)
    known = KNOWN._replace(leads_to=lambda slot, other: True)
    given = spot(TERM, RNG.standard_normal((5, 4)), match=lambda turn: match, leaf=3)
    found = named(given, known)
    assert found is not None
    assert found.bug == "path_cut"


def test_a_share_of_the_derivative_by_another_value_lacks_more_than_a_step():
    found = (TERM + E) / 5
    match = KNOWN.references.match(found)
    given = spot(found, RNG.standard_normal((5, 4)), match=lambda turn: match, leaf=9)
    assert named(given, KNOWN) is None


@pytest.mark.parametrize(
    "given",
    [
        spot(RNG.standard_normal((5, 4))),
        spot(E * (1 + 1e-9)),
        spot(np.asarray([0.6]), np.asarray([0.2])),
        spot(np.asarray([0.6, -0.6]), np.asarray([0.2, -0.2])),
        spot(E, np.full_like(E, np.nan)),
    ],
    ids=["random", "nearly right", "one number", "two of one size", "nothing known"],
)
def test_no_name_is_guessed(given):
    assert named(given, KNOWN) is None


def test_the_batch_is_no_mean_where_the_loss_has_none():
    found = named(spot(5 * E), KNOWN._replace(means=set()))
    assert found is not None
    assert found.bug == "constant_factor"
