"""Names by what is too much in the numbers, or too little; `relations` asks them in its order."""

import numpy as np
import pytest

from compare.diagnosis.watching.differences import difference, matrix, sums
from compare.diagnosis.watching.references import Reference, References
from compare.diagnosis.watching.spots import Known, Spot

RNG = np.random.default_rng(0)
E, TERM = RNG.standard_normal((2, 5, 4))
SQUARE = RNG.standard_normal((4, 4))
KNOWN = Known(
    References([
        Reference("term", 1, TERM, "loss.py:3", "z", 1),
        Reference("value", 2, SQUARE, "loss.py:4", "w", 2),
    ]),
    References([]), list, list, lambda *_: False, lambda *_: "", {5}, {5},
)  # fmt: skip


def names(relation, found, expected=E, inputs=()):
    spot = Spot([found], [expected], [[*inputs]], lambda turn: None, None, None)
    return [own.bug for own in relation(spot, KNOWN)]


@pytest.mark.parametrize(
    ("found", "bug"),
    [
        (E - TERM, "path_cut"),
        (E - 2 * TERM, "sign_flipped"),
        (E + TERM, "extra_term"),
        (E + 0.25, "extra_term"),
    ],
)
def test_a_term_or_a_number_too_much_or_too_little(found, bug):
    assert names(difference, found) == [bug]


def test_what_is_too_much_without_being_anything_has_no_name():
    assert names(difference, E + RNG.standard_normal((5, 4))) == []
    assert names(difference, np.zeros((5, 4))) == []  # All of it would be too little.


def test_a_matrix_left_out_and_a_sum_over_the_other_axis():
    assert names(matrix, E @ np.linalg.inv(SQUARE)) == ["missing_factor"]
    assert names(matrix, E @ np.linalg.inv(RNG.standard_normal((4, 4)))) == []
    square = RNG.standard_normal((4, 4))
    (bug,) = names(sums, square.sum(axis=1), square.sum(axis=0), [square])
    assert bug == "summed_wrongly"
