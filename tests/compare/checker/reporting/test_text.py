import math

import numpy as np
import pytest

from compare.checker.leaf import Leaf, Loss
from compare.checker.reporting.text import (
    WIDTH,
    details_lines,
    diagnosis_lines,
    loss_lines,
    table_lines,
    wrapped,
)
from compare.diagnosis.case import Diagnosis, Line


def leaf(path, shape=(3,), error=0.0, dtype="float64"):
    right = np.ones(shape)
    return Leaf.compare(path, right + error, right, dtype=dtype, noise=1e-16, tolerance=1e-15)


def test_a_dtype_that_all_share_is_told_once():
    lines = table_lines([leaf("b"), leaf("w", (3, 2), 0.5)], None)
    assert lines[0] == "numbers in float64:"
    assert lines[1].split() == ["leaf", "shape", "max", "error", "noise", "×", "noise", "tolerance"]
    assert lines[3].split() == ["w", "3×2", "5.0e-01", "1.0e-16", "5e+15", "1.0e-15", "WRONG"]
    mixed = table_lines([leaf("b"), leaf("w", dtype="float32")], None)
    assert [line.split()[2] for line in mixed] == ["dtype", "float64", "float32"]


def test_no_noise_at_all_is_a_noise_of_0():
    tiny = float(np.finfo(np.float32).tiny)
    one, zero = np.ones(3), np.zeros(3)
    wrong, right = (
        Leaf.compare("w", own, zero, dtype="float32", noise=tiny, tolerance=10 * tiny)
        for own in (one, zero)
    )
    assert table_lines([wrong], None)[2].split() == ["w", "3", "1.0e+00", "0", "∞", "0", "WRONG"]
    assert table_lines([right], None)[2].split() == ["w", "3", "0.0e+00", "0", "0", "0"]


def test_a_long_path_has_a_line_of_its_own():
    long = "encoder/layers/3/attention/query/kernel"
    leaves = [leaf("b"), leaf(long, (4, 8, 16), 0.5)]
    lines = table_lines(leaves, leaves[1])
    assert lines[3] == f"{long}  4×8×16"
    assert lines[4].split() == ["5.0e-01", "1.0e-16", "5e+15", "1.0e-15", "WRONG", "←", "worst"]
    assert lines[4].index("1.0e-16") == lines[2].index("1.0e-16"), "in the same columns"
    assert max(map(len, lines)) <= WIDTH


def test_paths_that_fit_alone_but_not_in_one_column_fit():
    leaves = [leaf("abcdefghijklm", ()), leaf("x", (2, 3, 4, 1, 2, 1)), leaf("y", (), 1.0)]
    assert max(map(len, table_lines(leaves, leaves[2]))) <= WIDTH


def test_no_leaf_is_a_head_alone():
    assert [line.split()[0] for line in table_lines([], None)] == ["leaf"]


@pytest.mark.parametrize("value", [1.0, -1.23456789e-11, math.inf])
def test_a_side_of_the_loss_and_its_number_stay_together(value):
    lines = loss_lines(Loss(value, value, value))
    assert max(map(len, lines)) <= WIDTH
    told = f"float64 reference {value:.9g}"
    assert any(told in line for line in lines)


def test_what_is_not_known_is_no_number():
    assert loss_lines(Loss(2.0, 3.0, math.nan)) == ["loss: manual 2, autodiff 3"]
    assert "nan" not in " ".join(table_lines([leaf("w", (3,), math.nan)], None))


def test_sentences_break_between_words():
    numbers = " ".join(["-1.23456789e-11"] * 20)
    lines = wrapped(numbers)
    assert " ".join(" ".join(lines).split()) == numbers
    assert max(map(len, lines)) <= WIDTH
    assert lines[1].startswith("    -1.2")


@pytest.mark.parametrize("whole", ["0.25 ± 3e-12", "(10, 2, 33)", "(0, 1)"])
@pytest.mark.parametrize("before", range(50, 80))
def test_an_error_bar_and_an_index_are_not_broken(whole, before):
    lines = wrapped(f"{'x' * before} {whole} and more")
    assert any(whole in line for line in lines)


def test_a_diagnosis_fits():
    site = f"{__file__}:1"
    found = Diagnosis("transposed", "w", site, "word " * 40, True, also=("sign_flipped",))
    lines = diagnosis_lines(found)
    assert lines[0] == "bug: transposed or sign_flipped, confirmed"
    assert lines[2] == "    | import math"
    assert any(line.startswith("  look at: dx = dy wᵀ") for line in lines)
    assert max(len(line) for line in lines if "line of the loss" not in line) <= WIDTH


def test_verbose_lists_every_line():
    lines = tuple(Line("model.py", i, f"x{i} = f()", f"x{i}", "", "right") for i in range(1, 21))
    found = Diagnosis("unknown", "w", "", "", False, suspects=("model.py:10",), listing=lines)
    near, every = ("\n".join(diagnosis_lines(found, verbose=v)) for v in (False, True))
    assert "x10 = f()" in near
    assert "x1 = f()" not in near
    assert all(line.source in every for line in lines)


def test_of_many_wrong_leaves_the_most_wrong_have_a_sentence():
    leaves = [leaf(str(i), error=error) for i, error in enumerate((0.1, 0.5, 0.0, 0.4, 0.2, 0.3))]
    details = [f"{own.path}: manual has 1; they differ by 1" for own in leaves if own.max_abs]
    lines = details_lines([*details, "the referee finds"], leaves)
    assert [line[2:4] for line in lines] == ["1:", "3:", "5:", "an", "th"]
    assert lines[3] == "  and 2 more leaves, as in the table"
    assert len(details_lines(details, leaves, verbose=True)) == 5
