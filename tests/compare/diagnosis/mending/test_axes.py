"""Axes along which an array is constant are taken away; one axis is made two, either way."""

import numpy as np
import pytest

from compare.diagnosis.mending.axes import core, splits

ROW = np.arange(1.0, 5)


@pytest.mark.parametrize("array", [np.tile(ROW, (3, 1)), np.stack([ROW, np.full(4, np.nan), ROW])])
def test_an_array_without_the_axis_along_which_it_is_constant(array):
    found = core(array)
    assert found is not None
    assert np.array_equal(found, [ROW])


@pytest.mark.parametrize("array", [np.full(3, np.nan), np.zeros(0)])
def test_of_nothing_known_there_is_no_core(array):
    assert core(array) is None


def test_six_rows_are_two_of_three_and_three_of_two():
    terms = np.arange(6.0)[:, None]
    sums = [own.sum(axis=0).ravel().tolist() for own in splits(terms, 0, (3, 1))]
    assert sums == [[1, 5, 9], [3, 5, 7]]
