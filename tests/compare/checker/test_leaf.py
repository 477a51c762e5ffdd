import math

import numpy as np
import pytest

from compare.checker.leaf import Leaf

RIGHT = np.asarray([[1.0, 2.0], [-3.0, 4.0]])


def compared(manual, reference=RIGHT, **settings):
    return Leaf.compare("0/w", manual, reference, **{"dtype": "float64", **settings})


def moved(*index, by):
    manual = RIGHT.copy()
    manual[index] += by
    return manual


def test_the_numbers_of_one_wrong_entry():
    leaf = compared(moved(1, 1, by=0.5), noise=0.25, tolerance=0.4)
    assert (leaf.path, leaf.shape, leaf.dtype) == ("0/w", (2, 2), "float64")
    assert (leaf.max_abs, leaf.max_rel, leaf.ratio) == (0.5, 0.125, 2.0)
    assert (leaf.index, leaf.manual, leaf.reference) == ((1, 1), 4.5, 4.0)
    assert leaf.excess == pytest.approx(1.25)
    assert not leaf.agrees


def test_the_largest_error_and_the_largest_relative_error_may_be_of_two_entries():
    manual = moved(1, 1, by=0.5)
    manual[0, 0] += 0.25
    leaf = compared(manual)
    assert (leaf.max_abs, leaf.index, leaf.max_rel) == (0.5, (1, 1), 0.25)


def test_an_error_equal_to_the_tolerance_agrees():
    manual = moved(0, 1, by=-0.5)
    assert compared(manual, tolerance=0.5).agrees
    assert not compared(manual, tolerance=np.nextafter(0.5, 0)).agrees
    assert not compared(manual).agrees, "no tolerance is given"


def test_agrees_may_be_decided_elsewhere():
    manual = moved(0, 1, by=-0.5)
    assert compared(manual, tolerance=0.1, agrees=True).agrees
    assert not compared(RIGHT, tolerance=0.1, agrees=False).agrees


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("x", [1.0, 1.5, 3.999, -8.0, 1e-30, 3e30])
def test_the_next_number_is_one_unit_in_the_last_place_away(x, dtype):
    reference = np.asarray([x], dtype)
    next_up = reference + np.abs(np.spacing(reference))
    assert compared(next_up, reference, dtype=dtype).max_ulp == 1
    assert compared(reference, reference, dtype=dtype).max_ulp == 0


def test_units_are_those_of_the_dtype_asked_for():
    manual = moved(1, 1, by=0.5)
    # Between 4 and 8 numbers are 4 machine epsilons apart.
    assert compared(manual, dtype="float64").max_ulp == 2.0**49
    assert compared(manual, dtype="float32").max_ulp == 2.0**20
    assert compared(manual, dtype="bfloat16").max_ulp == 2.0**4


@pytest.mark.parametrize(
    ("manual", "reference", "cosine"),
    [
        ([3.0, 4.0], [4.0, 3.0], 24 / 25),
        ([1.0, 0.0], [0.0, 2.0], 0.0),
        ([1.0, 2.0], [-2.0, -4.0], -1.0),
        ([0.0, 0.0], [0.0, 0.0], 1.0),
        ([0.0, 0.0], [0.0, 1.0], 0.0),
        ([3e-200, 4e-200], [4e200, 3e200], 24 / 25),
        ([math.inf, 1.0], [1.0, 1.0], math.nan),
    ],
)
def test_the_cosine(manual, reference, cosine):
    found = compared(np.asarray(manual), np.asarray(reference)).cosine
    assert found == pytest.approx(cosine, abs=1e-15, nan_ok=True)


def test_ratios_with_no_noise_or_no_error():
    assert compared(RIGHT, noise=0.0, tolerance=0.0).ratio == 0
    assert compared(RIGHT, noise=0.0, tolerance=0.0).agrees
    assert compared(moved(0, 0, by=1e-9), noise=0.0).ratio == math.inf


@pytest.mark.parametrize(
    ("sides", "bad"),
    [
        ("manual", math.nan),
        ("manual", math.inf),
        ("reference", math.nan),
        ("both", math.nan),
        ("both", math.inf),
    ],
)
def test_what_is_not_finite_never_agrees(sides, bad):
    broken = moved(1, 0, by=bad)
    manual = RIGHT if sides == "reference" else broken
    reference = RIGHT if sides == "manual" else broken
    leaf = compared(manual, reference, noise=1.0, tolerance=1e300)
    assert not leaf.agrees
    assert leaf.index == (1, 0)
    assert leaf.excess == math.inf
    assert math.isnan(leaf.cosine)


@pytest.mark.parametrize(
    ("manual", "reference", "shape"),
    [(None, RIGHT, (2, 2)), (RIGHT, None, (2, 2)), (RIGHT[:1], RIGHT, (1, 2)), (None, None, ())],
    ids=["manual is missing", "reference is missing", "another shape", "both are missing"],
)
def test_a_missing_or_misshapen_side_has_no_numbers(manual, reference, shape):
    leaf = compared(manual, reference, noise=1.0, tolerance=1e300, agrees=True)
    assert leaf.shape == shape
    numbers = (leaf.max_abs, leaf.max_rel, leaf.max_ulp, leaf.ratio, leaf.cosine)
    assert all(np.isnan(number) for number in (*numbers, leaf.manual, leaf.reference))
    assert (leaf.agrees, leaf.index, leaf.error_map) == (False, None, None)
    assert leaf.excess == math.inf


def test_the_difference_of_two_numbers_of_a_narrow_type_is_exact():
    manual, reference = np.asarray([2049.0], np.float32), np.asarray([1.0], np.float16)
    assert compared(manual, reference, dtype="float16").max_abs == 2048


def test_a_leaf_without_entries_agrees():
    leaf = compared(np.zeros((0, 3)), np.zeros((0, 3)), tolerance=0.0)
    assert leaf.agrees
    assert (leaf.max_abs, leaf.index, leaf.cosine) == (0, None, 1)


def test_the_error_map_has_the_largest_error_of_each_block():
    error = np.zeros((130, 2))  # Blocks of three rows, the last of one.
    error[4, 0], error[3, 0], error[129, 1] = 0.123456, 0.1, 2.0
    leaf = compared(error, np.zeros_like(error), tolerance=0.05)
    assert leaf.error_map is not None
    found = np.asarray(leaf.error_map)
    assert found.shape == (44, 2)
    assert found[1, 0] == 0.123, "three digits"
    assert found[43, 1] == 2.0
    assert np.count_nonzero(found) == 2


def test_only_a_matrix_that_disagrees_has_an_error_map():
    assert compared(moved(0, 0, by=1.0), tolerance=0.5).error_map == ((1, 0), (0, 0))
    assert compared(moved(0, 0, by=1.0), tolerance=2.0).error_map is None
    assert compared(moved(0, 0, by=1.0)[0], RIGHT[0], tolerance=0.5).error_map is None


def test_the_map_is_not_part_of_what_is_printed():
    assert "error_map" not in repr(compared(moved(0, 0, by=1.0), tolerance=0.5))


def test_an_infinite_reference_is_reported_without_a_warning():
    leaf = Leaf.compare("w", np.array([1.0, 2.0]), np.array([np.inf, 2.0]), dtype="float64")
    assert leaf.max_abs == math.inf
    assert not leaf.agrees
    assert math.isnan(leaf.max_rel)


def test_units_in_the_last_place_count_where_the_reference_is_not_zero():
    leaf = Leaf.compare(
        "w", np.array([1e-3, 1 + 2**-51]), np.array([0.0, 1.0]), dtype="float64", tolerance=1.0
    )
    assert leaf.max_ulp == 2


def test_an_error_where_there_is_no_noise_is_no_multiple_of_it():
    tiny = float(np.finfo(np.float64).tiny)
    leaf = Leaf.compare("w", np.ones(2), np.zeros(2), dtype="float64", noise=tiny, tolerance=tiny)
    assert leaf.ratio == math.inf
    assert Leaf.compare("w", *[np.ones(2)] * 2, dtype="float64", noise=tiny, tolerance=tiny).agrees
