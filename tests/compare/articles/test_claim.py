import math

import pytest

from compare.articles.claim import percent, reaches, standard_error, within


@pytest.mark.parametrize(
    ("measured", "rows", "holds"),
    [(0.96, 200, True), (0.933, 200, True), (0.932, 200, False), (0.933, 10_000, False)],
)
def test_an_accuracy_may_fall_short_by_two_standard_errors(measured, rows, holds):
    assert reaches(measured, 0.96, rows) is holds


def test_nothing_is_reached_by_nan():
    assert not reaches(math.nan, 0.1, 100)
    assert not within(math.nan, 0.1, 1.0)


def test_standard_error_is_that_of_the_binomial_distribution():
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(1.0, 100) == 0


def test_percent():
    assert [percent(0.8766), percent(0.98, 0), percent(math.nan)] == ["87.7%", "98%", "NaN"]
