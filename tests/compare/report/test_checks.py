import json
import re
import sys

import pytest

from compare.report import checks, json_file

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")

DERIVATION = {"rule": "mine", "about": "", "fwd": "y = x w.", "bwd": "dx = dy wᵀ."}


@pytest.fixture
def result(gradients):
    """A report in JSON's types, a leaf of which is wrong by a factor."""

    def of(factor=1.0, **changed):
        (row,) = gradients(factor=factor)["results"]
        for name in ("problem", "model", "settings", "dataset", "batch"):
            del row[name]
        return {**row, "name": "mine", **changed}

    return of


def test_what_is_saved_is_read_again(result, tmp_path):
    for file in (tmp_path / "saved.json", tmp_path / "bare.json"):
        if file.stem == "saved":
            checks.save(file, [result()], [DERIVATION, DERIVATION])
        else:
            file.write_text(json.dumps(result()))
        found = json_file.read(file)
        assert found["command"] == "check"
        (row,) = found["results"]
        for name in ("name", "verdict", "dtype", "jit", "worst", "detectable"):
            assert row[name] == result()[name], name
        assert [leaf["max_abs"] for leaf in row["leaves"]] == [
            leaf["max_abs"] for leaf in result()["leaves"]
        ]
        assert found["environment"]["platform"] == "cpu"
    saved = json_file.read(tmp_path / "saved.json")
    assert saved["derivations"] == [DERIVATION], "each once"


def test_a_page_says_what_was_checked(result, tmp_path):
    checks.save(tmp_path / "page.html", [result(2.0)], [DERIVATION])
    page = (tmp_path / "page.html").read_text()
    for said in ("DISAGREE", "1 of 1 comparisons, on mine", "constant_factor", "dx = dy wᵀ."):
        assert said in page, said
    assert 'id="checks"' not in page, "only of a session of tests"
    assert 'class="origins"' not in page, "no command gives it again"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("page.htm", ValueError, "is written as .html or .json"),
        ("page", ValueError, "is written as .html or .json"),
        ("no/page.html", FileNotFoundError, "there is no folder"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_line(result, tmp_path, name, error, message):
    with pytest.raises(error, match=message) as raised:
        checks.save(tmp_path / name, [result()])
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_fragment_keeps_its_style_to_itself(result):
    cell = checks.fragment([result(2.0)], [DERIVATION])
    assert cell is not None
    assert cell.startswith('<div class="handgrad">')
    for said in ("DISAGREE", 'class="bar wrong"', "constant_factor", "y = x w.", "<svg"):
        assert said in cell, said
    assert "<script" not in cell
    assert "<button" not in cell
    assert not re.findall(r'(?:src|href)="(?!#|data:)', cell)
    style = cell.split("<style>")[1].split("</style>")[0]
    assert style.startswith(".handgrad.handgrad.handgrad {")
    assert ":root" not in style
    assert not re.search(r"(?<![\w.-])body \{", style)
    assert style.count("{") == style.count("}")
    for theme in ("prefers-color-scheme: dark", '[data-jp-theme-light="false"] .handgrad.'):
        assert theme in style


def test_pictures_in_two_cells_do_not_share_a_name(result):
    ids = [
        set(re.findall(r'\sid="([^"]+)"', checks.fragment([result(factor)]) or ""))
        for factor in (2.0, 3.0)
    ]
    assert all(ids)
    assert not ids[0] & ids[1]


def test_without_jinja2_there_is_no_fragment(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert checks.fragment([result()]) is None


def test_a_session_has_a_row_for_each_check_and_few_columns(result, tmp_path):
    of_test = {"seconds": 0.25, "test": "test_mine.py::test_it"}
    rows = [result(seed=seed, **of_test) for seed in range(30)]
    rows.append(result(2.0, seed=99, **of_test))
    checks.save(tmp_path / "session.html", rows)
    page = (tmp_path / "session.html").read_text()
    body = page.split('<section id="checks">')[1]
    overview, rest = body.split("</section>", 1)
    assert overview.count("test_mine.py::test_it") == 31
    assert overview.index("manual wrong") < overview.index(">agree<")
    assert "and 25 more, 25 of which agree" in rest
    assert "seed 99" in rest
