import re
from pathlib import Path
from typing import NamedTuple

import pytest

from compare import own
from compare.diagnosis.catalogue import CATALOGUE
from compare.exercises import EXERCISES, attempt, message, start
from compare.exercises.questions import QUESTIONS


class Wrong(NamedTuple):
    number: int
    right: str
    wrong: str
    bugs: str
    missed: str


TABLE = Path(__file__).with_name("wrong_answers.txt").read_text(encoding="utf-8")
WRONG = [
    Wrong(int(number), right, wrong, bugs, missed)
    for row in TABLE.splitlines()
    if not row.startswith("#")
    for number, right, wrong, bugs, missed in [f"{row} | ".split(" | ")[:5]]
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exercises")
    start(folder)
    return folder


@pytest.fixture(autouse=True)
def in_the_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def written(folder, exercise, backward):
    """Writes the learner's file with this backward pass in it."""
    head, rest = exercise.template.split("def backward", 1)
    tail = rest.split("    raise NotImplementedError\n", 1)[1]
    path = folder / exercise.file
    path.write_text(f"{head}{backward}\n{tail}", encoding="utf-8")
    return path


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.path.stem)
def test_the_solution_is_right_and_the_template_is_unfinished(exercise, folder):
    path = folder / exercise.file
    path.write_text(exercise.template, encoding="utf-8")
    assert attempt(exercise, path).state == "unfinished"
    came = attempt(exercise, written(folder, exercise, exercise.solution))
    assert came.state == "solved", came.report
    assert bool(came.learned) == ("def train" in exercise.template)


def places(text, wrong):
    """The lines that hold a mistake: the changed one, or those that make or read what it renames.

    A line such as `dz = dh` computes nothing, so nothing of it can be seen to be wrong.
    """
    lines = text.splitlines()
    changed = max(n for n, line in enumerate(lines, 1) if line.strip() == wrong)
    renamed = re.fullmatch(r"(\w+) = (\w+)", wrong)
    if not renamed:
        return {changed}
    new, old = (re.compile(rf"\b{name}\b") for name in renamed.groups())
    first = next(n for n, line in enumerate(lines, 1) if n > changed and new.search(line))
    made = [n for n in range(changed - 1, 0, -1) if old.match(lines[n - 1].strip())]
    return {changed, first, *made[:1]}


@pytest.mark.table
@pytest.mark.parametrize("row", WRONG, ids=lambda row: f"{row.number}: {row.wrong}")
def test_a_wrong_answer_is_found_its_line_told_and_its_mistake_named(row, folder):
    exercise = EXERCISES[row.number - 1]
    answer = exercise.solution.replace(f"    {row.right}\n", f"    {row.wrong}\n")
    assert answer != exercise.solution
    path = written(folder, exercise, answer)
    came = attempt(exercise, path)
    assert came.state == "wrong"
    assert came.report
    assert came.report.verdict == "manual_wrong"
    found = came.report.diagnosis
    assert found
    lines = {int(site.rsplit(":", 1)[1]) for site in found.suspects}
    names = {found.bug, *found.also} - {"unknown"}
    assert not names or names & set(row.bugs.split()), "a false name"
    assert ("line" in row.missed) == (not lines & places(path.read_text("utf-8"), row.wrong))
    assert ("name" in row.missed) == (not names)
    text = message(came)
    assert max(map(len, text.splitlines())) <= 80
    assert "WRONG" in text
    assert "Ask yourself: " in text
    assert row.right in row.wrong or row.right not in text, "the solution"


def test_most_wrong_answers_are_told_by_line_and_by_name():
    of = {number: sum(row.number == number for row in WRONG) for number in range(1, 19)}
    assert min(of.values()) >= 3
    assert sum("line" in row.missed for row in WRONG) <= 0.1 * len(WRONG)
    assert sum("name" in row.missed for row in WRONG) <= 0.2 * len(WRONG)


def test_every_named_mistake_has_a_question():
    assert set(QUESTIONS) == set(CATALOGUE)
    assert all(text.endswith("?") for text in QUESTIONS.values())


@pytest.mark.parametrize(
    ("right", "wrong", "why"),
    [
        ("return {", "return None  # {", "backward returns None; it should return a dict"),
        ('"w": dw, ', "", "backward returns no w; it should return a dict with w, b"),
        ("x.T @ dz", "(x.T @ dz)[:, None]", r"w has shape \(3,\), .* has shape \(3, 1\)"),
    ],
)
def test_what_is_not_made_like_the_parameters_is_said_in_a_sentence(right, wrong, why, folder):
    answer = EXERCISES[0].solution.replace(right, wrong)
    came = attempt(EXERCISES[0], written(folder, EXERCISES[0], answer))
    assert came.state == "wrong"
    assert re.search(why, came.why)
    assert came.why in message(came).replace("\n  ", " ")


@pytest.mark.parametrize(
    ("right", "wrong", "error"),
    [
        ("import numpy as np", "import nump as np", r"01_one_neuron.py:\d+: ModuleNotFoundError"),
        ("def backward", "def back", "has no function backward"),
        ("np.mean", "np.sum", r"01_one_neuron.py:\d+: forward is part of the question"),
        ("dw = x.T", "dw = y.T @ x.T", r"01_one_neuron.py:\d+: ValueError"),
        ("dw = x.T", "dw = exit() or x.T", r"01_one_neuron.py:\d+: SystemExit"),
        ("def backward(", "def backward(dy, more, ", "TypeError"),
    ],
)
def test_a_file_that_cannot_be_checked_is_an_error_with_its_line(right, wrong, error, folder):
    path = written(folder, EXERCISES[0], EXERCISES[0].solution)
    text = path.read_text("utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(own.OwnFileError, match=error):
        attempt(EXERCISES[0], path)
