"""What a person gave: functions that can be called so, accuracies that mean something."""

import math

import numpy as np
import pytest

from compare.checker.arguments import accepted, require_accuracy, require_call, require_known


def one(x, *, rate):
    return x * rate


def anything(*args, **kwargs):
    return args, kwargs


def test_only_the_keywords_that_are_taken_are_passed():
    given = {"rate": 1.0, "other": 2}
    assert accepted(one, given) == {"rate": 1.0}
    assert accepted(anything, given) == given
    assert accepted(math.hypot, given) in ({}, given), "a function in C may have no signature"


def test_a_call_that_fits_passes_and_others_are_told():
    require_call("loss", one, 3, rate=2)
    with pytest.raises(TypeError, match=r"^loss cannot be called .*: missing a required .*'rate'$"):
        require_call("loss", one, 3)
    with pytest.raises(TypeError, match=r"^loss must be a function; got a dict$"):
        require_call("loss", {})
    with pytest.raises(TypeError, match=r"^loss must be a function; got an array of shape \(2,\)$"):
        require_call("loss", np.ones(2))


def test_a_keyword_that_nobody_takes_is_refused():
    require_known({"rate": 1}, fwd=one, bwd=math.hypot, reference=None)
    with pytest.raises(TypeError, match=r"neither fwd nor bwd takes a keyword argument 'tare'"):
        require_known({"tare": 1}, fwd=one, bwd=lambda r, d: d)


@pytest.mark.parametrize("accuracy", [None, 1e-6, np.float32(1e-3), {"w": 1e-3}])
def test_an_accuracy_is_a_share_or_one_by_path(accuracy):
    assert require_accuracy(accuracy, ["w", "b"]) is accuracy


@pytest.mark.parametrize("accuracy", [0, 1, -1e-3, "high", {"w": 2.0}, True])
def test_another_accuracy_is_refused(accuracy):
    with pytest.raises(ValueError, match="between 0 and 1; got"):
        require_accuracy(accuracy, ["w"])


def test_an_accuracy_of_no_leaf_is_refused():
    with pytest.raises(ValueError, match="'v', which is no leaf; choose from w, b"):
        require_accuracy({"v": 1e-3}, ["w", "b"])
