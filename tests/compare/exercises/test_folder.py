import json

import numpy as np
import pytest

from compare.datasets import DataError, mnist5k
from compare.exercises import EXERCISES, attempts, hint, start
from compare.exercises.folder import _DIGITS


def test_exercises_are_numbered_from_one_and_have_all_parts():
    assert [each.number for each in EXERCISES] == list(range(1, 19))
    for each in EXERCISES:
        assert len(each.hints) >= 2
        assert len(each.title) <= 80
        assert "Your turn: " in each.template
        assert "HINTS" not in each.template
        assert each.template.count("NotImplementedError") == 1
        assert "raise" not in each.solution


def test_the_digits_are_those_of_mnist_at_half_their_size():
    try:
        data = mnist5k.load()
    except DataError as error:
        pytest.skip(str(error))
    with np.load(_DIGITS) as file:
        for x, y, n, name in (
            (data.x_train, data.y_train, 400, ""), (data.x_test, data.y_test, 100, "_test"),
        ):  # fmt: skip
            half = x[:n].reshape(n, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(n, 196)
            np.testing.assert_array_equal(file[f"x{name}"], np.rint(15 * half))
            np.testing.assert_array_equal(file[f"y{name}"], y[:n])


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"solved": 3, "hints": {}})])
def test_notes_that_were_damaged_are_forgotten(text, tmp_path):
    start(tmp_path)
    (tmp_path / ".handgrad-exercises.json").write_text(text)
    assert [came.state for came in attempts(tmp_path)] == ["unfinished"]
    assert hint(tmp_path, EXERCISES[0]) == [EXERCISES[0].hints[0]]
