import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker import comparison
from compare.checker.comparison import disagreeing, largest, largest_difference, rows
from compare.checker.noise.measure import Noise
from compare.checker.sides.evaluation import DRAWS, Point, Result
from compare.tolerance import student_factor

NOISE_FACTOR = student_factor(DRAWS)

LOSS, W, B = ("value", "loss"), ("grad", "w"), ("grad", "b")


def result(loss, w, b, dtype: Any = np.float64):
    return Result(np.asarray(loss, dtype), {"w": np.asarray(w, dtype), "b": np.asarray(b, dtype)})


def noise_of(loss, w, b):
    """Measured noise: a number for each leaf."""
    return Noise({LOSS: loss, W: w, B: b})


def mathematics(manual, autodiff, noise, name):
    return rows(comparison.mathematics(Point([], manual, autodiff, name), noise))


def arithmetic(manual, autodiff, reference, noise, name):
    own, exact = Point([], manual, autodiff, name), Point([], reference, reference, name)
    return rows(comparison.arithmetic(own, exact, noise))


def unjudged(manual, autodiff, name):
    return comparison.unjudged(Point([], manual, autodiff, name))


RIGHT = result(2.0, [1.0, -4.0], 0.5)
NOISE = noise_of(1e-9, 1e-9, 1e-12)


def test_mathematics_holds_each_leaf_against_its_own_noise():
    error = 1e-10
    manual = result(2.0, [1.0, -4.0 + error], 0.5 + error)
    found = mathematics(manual, RIGHT, NOISE, "loss")
    assert list(found) == [LOSS, B, W]
    assert {key: row.agrees for key, row in found.items()} == {LOSS: True, W: True, B: False}
    assert {row.dtype for row in found.values()} == {"float64"}
    assert (found[W].path, found[W].index) == ("w", (1,))
    assert found[W].noise == 1e-9
    assert found[W].ratio == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize(("times", "agrees"), [(0.99, True), (1.01, False), (-1.01, False)])
def test_the_tolerance_is_the_noise_times_a_factor(times, agrees):
    manual = result(2.0, [1.0 + times * NOISE_FACTOR * 1e-9, -4.0], 0.5)
    row = mathematics(manual, RIGHT, NOISE, "loss")[W]
    assert row.tolerance == NOISE_FACTOR * 1e-9
    assert row.agrees == agrees


def test_the_value_is_compared_too():
    found = mathematics(result(2.1, [1.0, -4.0], 0.5), RIGHT, NOISE, "loss")
    assert [key for key, row in found.items() if not row.agrees] == [LOSS]


def test_without_noise_a_unit_in_the_last_place_of_the_largest_entry_is_the_floor():
    silent = noise_of(0.0, 0.0, 0.0)
    row = mathematics(RIGHT, RIGHT, silent, "loss")[W]
    assert row.noise == 4 * np.finfo(np.float64).eps
    zero = result(0.0, [0.0, 0.0], 0.0)
    row = mathematics(zero, zero, silent, "loss")[W]
    assert row.noise == np.finfo(np.float64).tiny
    assert row.agrees


def test_noise_that_is_not_finite_shows_in_the_tolerance():
    found = mathematics(RIGHT, RIGHT, noise_of(0.0, math.inf, math.nan), "loss")
    assert found[W].tolerance == math.inf
    assert math.isnan(found[B].tolerance)
    assert not found[B].agrees


def judged(own_error, manual_error, noise=1e-3):
    """The row of w in float32: 1 with an error on each side, whose sign is the error's own."""
    autodiff = result(0.0, [1.0 + own_error, 0.0], 0.0, np.float32)
    manual = result(0.0, [1.0 + manual_error, 0.0], 0.0, np.float32)
    reference = result(0.0, [1.0, 0.0], 0.0)
    return arithmetic(manual, autodiff, reference, noise_of(0.0, noise, 0.0), "loss")[W]


FLOOR = NOISE_FACTOR * 1e-3


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("own", [0.0, 0.5])
def test_arithmetic_allows_twice_autodiffs_error_and_the_floor(own, sign):
    limit = (2 * own + 1) * FLOOR
    assert judged(own * FLOOR, sign * 0.99 * limit).agrees
    # The other clause: within the floor of autodiff itself.
    assert not judged(own * FLOOR, -1.01 * limit).agrees
    assert judged(own * FLOOR, 0.0).tolerance == pytest.approx(limit, rel=1e-5)


def test_a_broken_baseline_counts_up_to_the_floor_only():
    off = 50 * FLOOR
    assert judged(off, 0.0).tolerance == pytest.approx(3 * FLOOR, rel=1e-5)
    assert judged(off, 2.9 * FLOOR).agrees, "manual is right"
    assert judged(off, off + 0.9 * FLOOR).agrees, "manual does the same as autodiff"
    assert not judged(off, -off).agrees
    assert not judged(off, off + 1.1 * FLOOR).agrees


@pytest.mark.parametrize("noise", [math.inf, math.nan])
def test_noise_that_says_nothing_leaves_the_unit_roundoff_and_autodiffs_error(noise):
    floor = NOISE_FACTOR * float(np.finfo(np.float32).eps)
    row = judged(0.25, 0.0, noise)
    assert row.tolerance == pytest.approx(0.5 + floor, rel=1e-6)
    assert judged(0.25, -0.4, noise).agrees
    assert not judged(0.25, -0.6, noise).agrees
    assert not judged(0.0, 1e-3, noise).agrees


def test_arithmetic_is_shown_against_the_reference_and_in_the_dtype_asked_for():
    row = judged(0.0, 0.125)
    assert (row.dtype, row.manual, row.reference) == ("float32", 1.125, 1.0)
    low = result(0.0, [1.0, 0.0], 0.0, jnp.bfloat16)
    found = arithmetic(low, low, result(0.0, [1.0, 0.0], 0.0), noise_of(0.0, 0.0, 0.0), "loss")
    assert found[W].dtype == "bfloat16"
    assert found[W].noise == 2.0**-7, "the floor is that of bfloat16"


@pytest.mark.parametrize(
    ("error", "dtype", "told"),
    [
        (
            1e-8,
            "float32",
            "it is 2.5e-09 of a leaf's largest entry; if it is meant, accuracy=1e-08",
        ),
        (1e-8, "float64", ""),
        (1e-8, "mixed", ""),
        (1e-2, "float32", ""),
        (1e-2, "bfloat16", "rounding in bfloat16 hides it"),
    ],
)
def test_what_rounding_in_the_dtype_asked_for_hides_is_told(error, dtype, told):
    manual, noise = result(2.0, [1.0, -4.0 + error], 0.5), noise_of(1e-16, 1e-16, 1e-16)
    found = comparison.mathematics(Point([], manual, RIGHT, "loss"), noise)
    sentences = comparison.hidden_told(found, dtype)
    assert bool(sentences) == bool(told)
    assert told in "".join(sentences)
    right = comparison.mathematics(Point([], RIGHT, RIGHT, "loss"), noise)
    assert comparison.hidden_told(right, dtype) == []


def test_unjudged_leaves_never_agree():
    found = unjudged(RIGHT, RIGHT, "loss")
    assert list(found) == [LOSS, B, W]
    assert not any(row.agrees for row in found.values())
    assert found[W].max_abs == 0
    assert math.isnan(found[W].tolerance)


def test_unjudged_leaves_may_be_missing_on_either_side():
    manual = Result(np.float64(1), {"w": np.ones(2), "extra": np.ones(3, np.float32)})
    autodiff = Result(np.float64(1), {"w": np.ones((2, 1)), "b": np.ones(())})
    found = unjudged(manual, autodiff, "loss")
    assert set(found) == {LOSS, W, B, ("grad", "extra")}
    assert all(math.isnan(found[key].max_abs) for key in (W, B, ("grad", "extra")))
    assert found[("grad", "extra")].dtype == "float32"


def test_disagreement_in_a_sentence_each():
    found = mathematics(result(2.0, [1.0, -4.5], 0.75), RIGHT, NOISE, "loss")
    assert disagreeing(found) == [
        f"b: manual has 0.75 where jax.grad has 0.5; they differ by 2.5e-01, and rounding "
        f"explains {NOISE_FACTOR * 1e-12:.1e}",
        f"w: manual has -4.5 where jax.grad has -4 at (1,); they differ by 5.0e-01, and rounding "
        f"explains {NOISE_FACTOR * 1e-9:.1e}",
    ]
    assert disagreeing(mathematics(RIGHT, RIGHT, NOISE, "loss")) == []


@pytest.mark.parametrize(
    ("entries", "size"), [([1, -3.0], 3), ([2.0, -1], 2), ([3j, 4], 4), ([], 0), ([True], 1)]
)
def test_the_largest_entry_counts_without_its_sign(entries, size):
    assert largest(np.array(entries)) == size


def test_the_largest_entry_is_nan_where_one_is():
    assert np.isnan(largest(np.array([1, np.nan, -3.0])))


def test_the_largest_difference_is_taken_in_float64():
    one = np.asarray([1.0, 2.0], np.float32)
    assert largest_difference(one, np.asarray([1.0, 2.0 + 1e-12])) == pytest.approx(1e-12, rel=1e-3)
    assert largest_difference(np.asarray([256.0], jnp.bfloat16), np.asarray([1.0])) == 255
    assert largest_difference(np.zeros((0, 2)), np.zeros((0, 2))) == 0
    assert math.isnan(largest_difference(one, np.asarray([1.0, math.nan])))


def test_what_is_clear_needs_no_further_draws():
    few = Noise(NOISE.by_leaf, student_factor(4))
    off = result(2.0, [1.0 + 20e-9, -4.0], 0.5)
    found = comparison.mathematics(Point([], off, RIGHT, "loss"), few)
    assert found[W].is_settled, "20 times the noise is within the tolerance of 4 draws"
    assert not found[W].is_clear, "and not within that of 16"
    assert found[B].is_clear


def test_what_does_as_jax_grad_does_in_its_dtype_is_clear_too():
    """As where float32 puts a number on the other side of a ReLU's kink."""
    few = Noise(NOISE.by_leaf, student_factor(4))
    jumped = result(2.0, [1.0 + 1e-3, -4.0], 0.5)
    own, exact = Point([], jumped, jumped, "loss"), Point([], RIGHT, RIGHT, "loss")
    found = comparison.arithmetic(own, exact, few)
    assert found[W].agrees
    assert found[W].is_clear
    alone = Point([], jumped, RIGHT, "loss")
    assert not comparison.arithmetic(alone, exact, few)[W].is_clear


def test_what_cannot_be_measured_is_not_settled():
    infinite = noise_of(0.0, math.inf, 0.0)
    found = comparison.mathematics(Point([], RIGHT, RIGHT, "loss"), infinite)
    assert found[W].agrees
    assert not found[W].is_settled


@pytest.mark.parametrize(
    ("manual", "all_wrong"),
    [
        ((0.5, [2.0, 3.0], [1.5]), True),
        ((0.5, [2.0, 3.0], [1.0]), False),  # One leaf agrees.
        ((0.5, [2.0, 3.0], [1.0 + 1e-11]), False),  # It is off by less than a thousand tolerances.
        ((0.6, [2.0, 3.0], [1.5]), False),  # The value is another.
        ((0.5, [2.0, np.nan], [1.5]), False),
    ],
)
def test_where_nothing_agrees_by_far_one_draw_is_enough(manual, all_wrong):
    right = result(0.5, [1.0, 2.0], [1.0])
    noise = noise_of(1e-17, 1e-17, 1e-17)._replace(factor=student_factor(1))
    found = comparison.mathematics(Point([], result(*manual), right, "loss"), noise)
    assert comparison.is_all_wrong(found) == all_wrong
