"""Structure and finiteness, leaf by leaf."""

import numpy as np
import pytest

from compare.checker import faults
from compare.checker.sides.evaluation import Point, Result

WANTED = {"b": np.zeros(5, np.float32), "w": np.zeros((4, 5), np.float32)}


def point(**manual):
    arrays = [*WANTED.values(), np.zeros((7, 4), np.float32)]
    return Point(arrays, Result(np.float32(1), manual), Result(np.float32(1), WANTED), "loss")


def test_what_fits_has_no_fault():
    assert not faults.structure(point(**WANTED), compiled=True)


@pytest.mark.parametrize(
    ("leaf", "path", "sentence"),
    [
        (np.zeros((5, 4), np.float32), "w", "the parameter has (4, 5): is it transposed?"),
        (np.float32(0), "b", "has shape (), the parameter has (5,): is it summed over all axes?"),
        (np.zeros((7, 5), np.float32), "b", "is the sum over the examples missing?"),
        (np.zeros((3, 5), np.float32), "b", "the parameter has (5,)"),
        (np.zeros(5, np.float16), "b", "has dtype float16, the parameter has float32"),
    ],
)  # fmt: skip
def test_a_leaf_is_named_with_what_it_is_likely_to_be(leaf, path, sentence):
    found = faults.structure(point(**{**WANTED, path: leaf}), compiled=True)
    assert found.keys == {("grad", path)}
    assert len(found.sentences) == 1
    assert found.sentences[0].startswith(f"{path}: manual's gradient ")
    assert found.sentences[0].endswith(sentence)


def test_missing_and_extra_leaves_are_named():
    found = faults.structure(point(w=WANTED["w"], c=WANTED["b"]), compiled=True)
    assert found.keys == {("grad", "b"), ("grad", "c")}
    assert found.sentences == (
        "b: is missing from manual's gradient",
        "c: is in manual's gradient and not in the parameters",
    )


def test_numpy_may_promote_where_it_is_not_compiled():
    wide = point(b=np.zeros(5), w=WANTED["w"])
    assert not faults.structure(wide, compiled=False)
    assert faults.structure(wide, compiled=True)
    assert faults.structure(point(b=np.zeros(5, np.float16), w=WANTED["w"]), compiled=False)


def test_each_side_s_leaves_that_are_not_finite_are_apart():
    bad = np.asarray([0, np.nan, 0, np.inf, 0], np.float32)
    manual, autodiff = faults.nonfinite(point(**{**WANTED, "b": bad}), " (here)")
    assert manual.keys == {("grad", "b")}
    assert manual.sentences == (
        "b: manual has 2 of 5 entries not finite, the first at (1,): nan (here)",
    )
    assert not autodiff


def test_overflow_is_told_where_the_number_is_too_large_for_the_type():
    low = {**WANTED, "b": np.full(5, np.inf, np.float16), "w": np.full((4, 5), np.nan, np.float16)}
    own = Point([], Result(0.0, low), Result(0.0, low), "loss")
    exact = Result(0.0, {"b": np.full(5, 1e6), "w": np.full((4, 5), 1e-3)})
    keys = [("grad", "b"), ("grad", "w")]
    assert faults.overflow(own, exact, keys) == [
        "b: overflows float16, whose largest number is 6.55e+04; scale the loss down"
    ]


def test_inputs_that_the_type_cannot_hold_are_told():
    given, cast = [np.asarray([1.0, 1e5]), np.arange(3)], [np.asarray([1, np.inf]), np.arange(3)]
    cast[0] = cast[0].astype(np.float16)
    assert faults.overflown_inputs(given, cast) == [
        "an input of 1e+05 overflows float16, whose largest number is 6.55e+04; scale it down"
    ]
    assert faults.overflown_inputs([np.asarray([np.inf])], [np.asarray([np.inf])]) == []


def test_empty_arrays_are_told():
    assert (
        faults.empty([np.ones(2), np.ones((0, 3))])
        == "an array of the point is empty: shape (0, 3)"
    )
    assert faults.empty([np.ones(2), np.float32(1)]) == ""
