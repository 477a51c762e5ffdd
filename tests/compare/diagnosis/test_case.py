import dataclasses
import math

import numpy as np
import pytest

from compare.diagnosis.case import Case, Diagnosis, distance, near

RIGHT = {"b": np.asarray([0.0, 0.0]), "w": np.asarray([[1.0, -4.0]])}
TOLERANCES = {"b": 1e-6, "w": 1e-3}


def case(**wrong):
    """A case whose candidate has these leaves, and the right ones else."""
    leaves = {path: np.ones_like(g) for path, g in RIGHT.items()}
    given = {path: np.asarray(wrong.get(path, g)) for path, g in RIGHT.items()}
    return Case(lambda leaves, constants: 0.0, leaves, [], given, RIGHT, TOLERANCES)


@pytest.mark.parametrize(
    ("wrong", "paths"),
    [
        ({}, []),
        ({"w": [[1.0, -4.0 + 0.9e-3]]}, []),
        ({"w": [[1.0, -4.0 + 1.1e-3]]}, ["w"]),
        ({"b": [0.0, -1.1e-6]}, ["b"]),
        ({"b": [1.0, 0.0], "w": [[1.0, 4.0]]}, ["b", "w"]),
    ],
)
def test_the_leaves_that_are_wrong(wrong, paths):
    assert case(**wrong).paths() == paths


@pytest.mark.parametrize(
    ("wrong", "limit"),
    [
        ({"w": [[1.0, -4.0]]}, 1e-3),
        ({"w": [[0.0, 0.5]]}, 1e-3),
        ({"w": [[1.0, 40.0]]}, 1e-2),
    ],
    ids=["the same size", "smaller", "ten times as large"],
)
def test_the_limit_grows_with_the_candidates_numbers(wrong, limit):
    assert case(**wrong).limit("w") == pytest.approx(limit, rel=1e-15)


def test_the_limit_of_a_gradient_of_zero_is_its_tolerance():
    assert case(b=[3.0, 0.0]).limit("b") == 1e-6


def test_a_gradient_explains_if_it_is_the_candidates_on_every_leaf():
    wrong = {"b": np.asarray([0.0, 0.5]), "w": np.asarray([[1.0, 8.0]])}
    limit = case(**wrong).limit("w")
    assert case(**wrong).explains(wrong)
    assert case(**wrong).explains({**wrong, "w": wrong["w"] + 0.9 * limit})
    assert not case(**wrong).explains({**wrong, "w": wrong["w"] + 1.1 * limit})
    assert not case(**wrong).explains({**wrong, "b": RIGHT["b"]})
    assert not case(**wrong).explains(RIGHT)


def test_what_is_not_a_number_explains_nothing():
    wrong = {"b": RIGHT["b"], "w": np.asarray([[1.0, 8.0]])}
    assert not case(**wrong).explains({**wrong, "b": np.asarray([0.0, math.nan])})


def test_the_distance_is_the_largest_of_any_entry():
    assert distance(RIGHT["w"], np.asarray([[1.5, -2.0]])) == 2
    assert distance(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert math.isnan(distance(RIGHT["b"], np.asarray([1.0, math.nan])))


def test_a_diagnosis_is_not_changed():
    found = Diagnosis("transposed", "0/w", "loss.py:3", "so it is", confirmed=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.bug = "unknown"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("at", [0, -1])
def test_an_array_is_near_a_multiple_only_if_every_entry_is(size, at):
    whole = np.random.default_rng(0).standard_normal(size)
    off = 1.5 * whole
    assert near(off, whole, 1e-12, 1.5)
    assert near(off[::-1], whole[::-1], 1e-12, 1.5), "in whatever order they lie"
    assert not near(off, whole, 1e-12)
    off[at] += 1e-3
    assert not near(off, whole, 1e-12, 1.5)
    assert distance(off, 1.5 * whole) == pytest.approx(1e-3)
    off[at] = np.nan
    assert not near(off, whole, 1e-12, 1.5)
    assert math.isnan(distance(off, whole))
