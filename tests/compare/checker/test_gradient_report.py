import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.check import check_gradients
from compare.checker.gradient_report import Diagnosis, GradientReport, Leaf, Loss


def compared(error, **limits):
    right = np.ones(error.shape)
    settings = {"dtype": "float64", "noise": 1e-16, "tolerance": 1e-15, **limits}
    return Leaf.compare("0/w", right + error, right, **settings)


def test_a_right_matrix_has_no_map():
    assert compared(np.zeros((3, 4))).error_map is None
    assert compared(np.full(5, 1.0)).error_map is None, "a vector"
    assert compared(np.zeros((3, 4)), agrees=False).error_map is None, "no error to show"


def test_a_small_matrix_is_mapped_entry_by_entry():
    error = np.zeros((3, 4))
    error[1, 2] = 0.5
    assert compared(error).error_map == ((0, 0, 0, 0), (0, 0, 0.5, 0), (0, 0, 0, 0))


@pytest.mark.parametrize("shape", [(784, 128), (65, 1), (64, 64), (1000, 63)])
def test_a_block_has_its_largest_error(shape):
    error = np.zeros(shape)
    error[-1, 0], error[0, -1] = 0.25, 0.125
    found = np.array(compared(error).error_map)
    assert all(n <= 64 for n in found.shape)
    assert found[-1, 0] == 0.25
    assert found[0, -1] == 0.125
    assert np.count_nonzero(found) == 2


def test_what_is_not_finite_stays_so_and_is_null_in_json():
    error = np.zeros((2, 2))
    error[1, 1] = math.nan
    leaf = compared(error)
    assert leaf.error_map is not None
    assert math.isnan(leaf.error_map[1][1])
    report = GradientReport(
        "nonfinite", Loss(1.0, 1.0, 1.0), (leaf,), ("0/w",),
        Diagnosis("transposed", "0/w", f"{__file__}:1", "so it is", True), "float64", True, "cpu",
        "cpu", "highest", math.nan,
    )  # fmt: skip
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["leaves"][0]["error_map"] == [[0.0, 0.0], [0.0, None]]
    assert data["meaning"] == "There are NaN or infinite entries."
    assert data["diagnosis"]["source"] == "import json"
    assert data["diagnosis"]["advice"].startswith("dx = dy wᵀ")
    assert data["diagnosis"]["at"].endswith("test_gradient_report.py:1")


def test_no_site_has_no_source():
    report = GradientReport(
        "manual_wrong", Loss(1.0, 1.0, 1.0), (), (), Diagnosis("unknown", "", "", "", False),
        "float64", True, "cpu", "cpu", "highest", 1e-15,
    )  # fmt: skip
    assert report.to_dict()["diagnosis"]["source"] == ""
    assert "bug: unknown" in str(report)


def test_a_name_neither_ends_a_line_nor_moves_the_cursor():
    def loss(params, x):
        return (params["w\nAGREE\x1b[2J"] * x).sum()

    def candidate(params, x):
        return loss(params, x), {"w\nAGREE\x1b[2J": x}

    text = str(check_gradients(candidate, loss, {"w\nAGREE\x1b[2J": jnp.ones(2)}, jnp.ones(2)))
    assert r"w\nAGREE\x1b[2J" in text
    assert "\x1b" not in text
    assert sum(line.startswith("AGREE") for line in text.splitlines()) == 1


def test_the_worst_leaf_is_one_that_is_wrong():
    right = Leaf.compare("x", np.ones(2), np.ones(2), dtype="float64", noise=1.0, tolerance=1.0)
    near = Leaf.compare("b", np.ones(2) + 0.5, np.ones(2), dtype="float64", noise=1, tolerance=1)
    narrow = Leaf.compare("w", np.ones(2, np.float16), np.ones(2), dtype="float16", agrees=False)
    lost = Leaf.compare("v", np.array([1, math.nan]), np.ones(2), dtype="float64", agrees=False)
    for leaves, worst in {(right, near): "b", (near, narrow): "w", (narrow, lost): "v"}.items():
        report = GradientReport(
            "structure_mismatch", Loss(1.0, 1.0, 1.0), leaves, (), None, "float64", True, "cpu",
            "cpu", "highest", math.nan,
        )  # fmt: skip
        assert report.headline == f"STRUCTURE MISMATCH in {worst}"
