import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.comparison import (
    NOISE_FACTOR,
    arithmetic,
    disagreeing,
    largest_difference,
    mathematics,
    unjudged,
)
from compare.checker.evaluation import Result

LOSS, W, B = ("value", "loss"), ("grad", "w"), ("grad", "b")


def result(loss, w, b, dtype: Any = np.float64):
    return Result(np.asarray(loss, dtype), {"w": np.asarray(w, dtype), "b": np.asarray(b, dtype)})


def noise_of(loss, w, b):
    """Measured noise: a number for each leaf."""
    return result(loss, w, b)


RIGHT = result(2.0, [1.0, -4.0], 0.5)
NOISE = noise_of(1e-9, 1e-9, 1e-12)


def test_mathematics_holds_each_leaf_against_its_own_noise():
    error = 1e-10
    manual = result(2.0, [1.0, -4.0 + error], 0.5 + error)
    rows = mathematics(manual, RIGHT, NOISE, "loss")
    assert list(rows) == [LOSS, B, W]
    assert {key: row.agrees for key, row in rows.items()} == {LOSS: True, W: True, B: False}
    assert {row.dtype for row in rows.values()} == {"float64"}
    assert (rows[W].path, rows[W].index) == ("w", (1,))
    assert rows[W].noise == 1e-9
    assert rows[W].ratio == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize(("times", "agrees"), [(0.99, True), (1.01, False), (-1.01, False)])
def test_the_tolerance_is_the_noise_times_a_factor(times, agrees):
    manual = result(2.0, [1.0 + times * NOISE_FACTOR * 1e-9, -4.0], 0.5)
    row = mathematics(manual, RIGHT, NOISE, "loss")[W]
    assert row.tolerance == NOISE_FACTOR * 1e-9
    assert row.agrees == agrees


def test_the_value_is_compared_too():
    rows = mathematics(result(2.1, [1.0, -4.0], 0.5), RIGHT, NOISE, "loss")
    assert [key for key, row in rows.items() if not row.agrees] == [LOSS]


def test_without_noise_a_unit_in_the_last_place_of_the_largest_entry_is_the_floor():
    silent = noise_of(0.0, 0.0, 0.0)
    row = mathematics(RIGHT, RIGHT, silent, "loss")[W]
    assert row.noise == 4 * np.finfo(np.float64).eps
    zero = result(0.0, [0.0, 0.0], 0.0)
    row = mathematics(zero, zero, silent, "loss")[W]
    assert row.noise == np.finfo(np.float64).tiny
    assert row.agrees


def test_noise_that_is_not_finite_shows_in_the_tolerance():
    rows = mathematics(RIGHT, RIGHT, noise_of(0.0, math.inf, math.nan), "loss")
    assert rows[W].tolerance == math.inf
    assert math.isnan(rows[B].tolerance)
    assert not rows[B].agrees


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
    rows = arithmetic(low, low, result(0.0, [1.0, 0.0], 0.0), noise_of(0.0, 0.0, 0.0), "loss")
    assert rows[W].dtype == "bfloat16"
    assert rows[W].noise == 2.0**-7, "the floor is that of bfloat16"


def test_unjudged_leaves_never_agree():
    rows = unjudged(RIGHT, RIGHT, "loss")
    assert list(rows) == [LOSS, B, W]
    assert not any(row.agrees for row in rows.values())
    assert rows[W].max_abs == 0
    assert math.isnan(rows[W].tolerance)


def test_unjudged_leaves_may_be_missing_on_either_side():
    manual = Result(np.float64(1), {"w": np.ones(2), "extra": np.ones(3, np.float32)})
    autodiff = Result(np.float64(1), {"w": np.ones((2, 1)), "b": np.ones(())})
    rows = unjudged(manual, autodiff, "loss")
    assert set(rows) == {LOSS, W, B, ("grad", "extra")}
    assert all(math.isnan(rows[key].max_abs) for key in (W, B, ("grad", "extra")))
    assert rows[("grad", "extra")].dtype == "float32"


def test_disagreement_in_a_sentence_each():
    rows = mathematics(result(2.0, [1.0, -4.5], 0.75), RIGHT, NOISE, "loss")
    assert disagreeing(rows) == [
        f"b: manual has 0.75 where jax.grad has 0.5; they differ by 2.5e-01, and rounding "
        f"explains {NOISE_FACTOR * 1e-12:.1e}",
        f"w: manual has -4.5 where jax.grad has -4 at (1,); they differ by 5.0e-01, and rounding "
        f"explains {NOISE_FACTOR * 1e-9:.1e}",
    ]
    assert disagreeing(mathematics(RIGHT, RIGHT, NOISE, "loss")) == []


def test_the_largest_difference_is_taken_in_float64():
    one = np.asarray([1.0, 2.0], np.float32)
    assert largest_difference(one, np.asarray([1.0, 2.0 + 1e-12])) == pytest.approx(1e-12, rel=1e-3)
    assert largest_difference(np.asarray([256.0], jnp.bfloat16), np.asarray([1.0])) == 255
    assert largest_difference(np.zeros((0, 2)), np.zeros((0, 2))) == 0
    assert math.isnan(largest_difference(one, np.asarray([1.0, math.nan])))
