"""A session of pytest as a person has it: a process of its own, with the installed plugin."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")

PAGE = (Path(__file__).parents[2] / "docs" / "tests-and-notebooks.md").read_text(encoding="utf-8")
TESTS = """
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_rule_agrees


def loss(params, x):
    return jnp.sum(x @ params["w"])


def loss_and_grad(params, x):
    return loss(params, x), {"w": x.sum(axis=0)}


@pytest.mark.parametrize("seed", [4, 5])
def test_right(gradient_check, seed):
    x = np.random.default_rng(seed).normal(size=(4, 3))
    gradient_check(loss_and_grad, loss, {"w": jnp.ones(3)}, x)


def test_nothing_is_checked():
    pass


def square_fwd(x):
    return x**2, (x,)


def square_bwd(residuals, dy):
    return (dy * residuals[0],)


@pytest.mark.parametrize("point", [np.linspace(0.123456, 9, 5)])
def test_wrong(point):
    assert_rule_agrees(square_fwd, square_bwd, point)


def in_numpy_bwd(residuals, dy):
    return (np.asarray(dy) * 2,)


def test_refused():
    assert_rule_agrees(square_fwd, in_numpy_bwd, np.ones(3))
"""
LOADED = """
import sys
from pathlib import Path


def pytest_unconfigure(config):
    print("loaded", [name for name in ("jax", "numpy", "compare", "rich") if name in sys.modules])
"""


def run_pytest(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_collecting_imports_nothing_of_ours(tmp_path):
    (tmp_path / "test_empty.py").write_text("")
    (tmp_path / "conftest.py").write_text(LOADED)
    done = run_pytest(tmp_path, "--collect-only", "-q", "test_empty.py")
    assert "loaded []" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A session with a test that fails, in a worker of pytest-xdist; its folder and its output."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "test_mine.py").write_text(TESTS)
    (folder / "test_manual.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    done = run_pytest(
        folder, "--numprocesses=1", "--handgrad-report=report.html", "--handgrad-json=report.json"
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    return folder, done.stdout


def test_a_failure_is_the_report_and_no_more(session):
    _, out = session
    failure = out.split("test_wrong[point0] ___")[1].split("___ test_refused ___")[0]
    lines = [
        line for line in failure.splitlines()[1:] if not line.startswith(("[gw0]", "__", "=="))
    ]
    assert lines[0].startswith("test_mine.py:")
    assert lines[1].strip() == "assert_rule_agrees(square_fwd, square_bwd, point)"
    assert lines[2].startswith("E   AssertionError: MANUAL WRONG in x, at test_mine.py:31: ")
    assert lines[4].startswith("E   MANUAL WRONG  (float")
    assert all(line.startswith("E   ") for line in lines[2:]), "nothing else is shown"
    assert "0.123456" not in failure, "no parameters"
    assert max(map(len, lines)) <= 80


def test_what_is_refused_is_said_in_one_sentence(session):
    _, out = session
    failure = out.split("___ test_refused ___")[1].split("== handgrad ==")[0]
    shown = [line for line in failure.splitlines() if line.startswith(("E", ">", "test_mine.py"))]
    assert shown[0] == ">       assert_rule_agrees(square_fwd, in_numpy_bwd, np.ones(3))"
    assert shown[1].startswith(
        "E       ValueError: pass jit=False: manual cannot be traced by jax "
    )
    assert "(test_mine.py:40)" in shown[1]
    assert len(shown) == 3, failure
    assert "compare/checker" not in failure


def test_the_summary_counts(session):
    _, out = session
    assert "\nFAILED test_mine.py::test_wrong[point0] - MANUAL WRONG in x, at " in out
    summary = out.split("= handgrad =")[1].splitlines()
    assert summary[1].startswith("16 checks, 15 agree, in ")
    assert summary[2].startswith("slowest: ")
    assert summary[3].startswith("weakest: sees an error of ")
    assert summary[4] == "written to report.html and report.json"


def test_every_check_is_on_one_page_and_in_one_file(session):
    folder, _ = session
    every = json.loads((folder / "report.json").read_text())["results"]
    rows = [row for row in every if row["test"].startswith("test_mine.py")]
    assert {row["agree"] for row in every if row not in rows} == {True}, "the manual's tests"
    assert [(row["name"], row["seed"], row["agree"]) for row in rows[:2]] == [
        ("loss_and_grad", 4, True), ("loss_and_grad", 5, True),
    ]  # fmt: skip
    assert rows[2]["name"] == "square"
    assert rows[2]["verdict"] == "manual_wrong"
    assert rows[2]["test"] == "test_mine.py::test_wrong[point0]"
    page = (folder / "report.html").read_text()
    for row in rows:
        assert row["test"] in page
    assert "DISAGREE" in page


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (
            "--handgrad-report=no/such/folder/page.html",
            "there is no folder no/such/folder; make it first",
        ),
        ("--handgrad-json=.", "is a folder; give the name of a file"),
        (
            "--handgrad-json=test_mine.py",
            "is not written over, since it is no result; name another",
        ),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_at_once(option, reason, tmp_path):
    (tmp_path / "test_mine.py").write_text(TESTS)
    done = run_pytest(tmp_path, option)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.strip() == f"ERROR: {option.replace('=', ' ')}: {reason}"
    assert (tmp_path / "test_mine.py").read_text() == TESTS
