import csv
import io
import re
import time

import pytest

from compare import cli, own, terminal
from compare.commands import options
from compare.commands.learning import exercises as command
from compare.exercises import EXERCISES, Attempt

FIRST, SECOND = EXERCISES[:2]


def run(*argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["exercises", *argv])
    return exit_.value.code


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert run("start", "mine") == options.AGREE
    capsys.readouterr()
    return tmp_path / "mine"


def solve(folder, exercise, right="", wrong=""):
    lesson = exercise.source.partition("HINTS = ")[0]
    assert right in lesson
    (folder / exercise.file).write_text(lesson.replace(right, wrong), encoding="utf-8")


def test_a_learner_goes_from_one_exercise_to_the_next(folder, capsys):
    assert sorted(path.name for path in folder.iterdir()) == [
        *(each.file for each in EXERCISES), "digits.npz",
    ]  # fmt: skip
    assert run("check", "mine") == options.DISAGREE
    assert "Next: mine/01_one_neuron.py" in capsys.readouterr().out

    solve(folder, FIRST, " / len(y)\n", "\n")
    assert run("check", "mine") == options.DISAGREE
    out = capsys.readouterr().out
    assert re.search(r"▸ +\d+  dz = \(p - y\)\n +WRONG", out)
    assert "should be -0.288031" in out
    assert "(missing_batch_mean)" in out
    assert "Ask yourself: L is a mean" in out
    assert max(map(len, out.splitlines())) <= 80

    solve(folder, FIRST)
    assert run("check", "mine") == options.DISAGREE
    out = capsys.readouterr().out
    assert "[#.................] 1 of 18 solved" in out
    assert "Next: mine/02_xor.py" in out

    solve(folder, SECOND)
    assert run("check", "mine", "--only", "2") == options.AGREE
    out = capsys.readouterr().out
    assert "trained: 00, 01, 10, 11 give 0.00, 1.00, 1.00, 0.00" in out
    assert out.splitlines()[-1] == "AGREE: it is right"


def test_a_loop_without_an_end_is_asked_about(folder, capsys, monkeypatch):
    monkeypatch.setattr(command, "_PATIENCE_SECONDS", 0.1)

    def attempts():
        for seconds in (0, 0.5, 0):
            time.sleep(seconds)
            yield Attempt(FIRST, folder, "solved")

    assert len(list(command._patiently(attempts()))) == 3
    assert capsys.readouterr().err.count("does a loop of yours never end?") == 1


def test_what_is_solved_is_checked_again_only_where_it_changed(folder, capsys, monkeypatch):
    solve(folder, FIRST)
    run("check", "mine")
    with monkeypatch.context() as patched:
        patched.setattr("compare.exercises.folder.attempt", lambda *_: pytest.fail("again"))
        with pytest.raises(pytest.fail.Exception):
            list(own_attempts(folder))
    solve(folder, FIRST, " / len(y)\n", "\n")
    capsys.readouterr()
    run("check", "mine")
    assert "not right yet" in capsys.readouterr().out


def own_attempts(folder):
    """The attempts, of which the first is remembered: the second is the first that is checked."""
    from compare.exercises import attempts

    for came in attempts(folder):
        assert came.exercise == FIRST
        yield came


def test_starting_again_leaves_what_is_there(folder, capsys):
    solve(folder, FIRST)
    (folder / SECOND.file).unlink()
    before = (folder / FIRST.file).read_text("utf-8")
    assert run("start", "mine") == options.AGREE
    assert "1 exercises written" in capsys.readouterr().out
    assert (folder / FIRST.file).read_text("utf-8") == before
    assert (folder / SECOND.file).read_text("utf-8") == SECOND.template


def test_hints_unfold_one_by_one_and_a_solution_is_shown(folder, capsys):
    for taken in (1, 2, 3, 3):
        assert run("hint", "1", "mine") == options.AGREE
        assert len(re.findall(r"^\d of 3: ", capsys.readouterr().out, re.MULTILINE)) == taken
    assert run("solution", "3") == options.AGREE
    assert capsys.readouterr().out.strip() == EXERCISES[2].solution


def test_a_teacher_gets_a_table(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("compare.exercises.classroom.EXERCISES", EXERCISES[:4])
    solve(folder, FIRST)
    solve(folder, SECOND, "dh * (1 - h**2)", "dz2 @ w2.T")
    (folder / EXERCISES[3].file).write_text("1 +")
    run("hint", "2", "mine")
    capsys.readouterr()
    assert run("table", "mine", "--csv", "class.csv") == options.AGREE
    (row,) = csv.DictReader(io.StringIO((tmp_path / "class.csv").read_text("utf-8")))
    assert list(row.values())[:7] == [
        "mine", "1", "1", "solved", "wrong: missing_activation_derivative", "unfinished", "error",
    ]  # fmt: skip
    (folder / EXERCISES[0].file).unlink()
    assert run("table", "mine") == options.AGREE
    assert capsys.readouterr().out.splitlines()[1].startswith("mine,0,1,missing,wrong")


def test_watch_checks_again_when_a_file_is_saved(folder, capsys, monkeypatch):
    saved = iter([lambda: solve(folder, FIRST), None])

    def changed(files):
        assert folder.name in str(files[0])
        save = next(saved)
        if save is None:
            raise KeyboardInterrupt
        save()

    monkeypatch.setattr(own, "changed", changed)
    (folder / FIRST.file).write_text("1 +")
    assert run("watch", "mine") == options.DISAGREE
    out, err = capsys.readouterr()
    assert "01_one_neuron.py:1: SyntaxError" in err
    assert "Next: mine/02_xor.py" in out


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["check", "none"], options.DATA, "none: there is no such folder"),
        (
            ["check", "1"],
            options.DATA,
            "folder; one exercise alone is --only 1",
        ),
        ([], options.DATA, ".: has no exercises; `handgrad exercises start .`"),
        (["check", "."], options.DATA, ".: has no exercises; `handgrad exercises start .`"),
        (["check", "mine", "--only", "99"], options.USAGE, "there is no exercise 99; they are"),
        (["hint", "0", "mine"], options.USAGE, "numbered 1 to 18"),
        (["hint", "1", "none"], options.DATA, "none: there is no such folder"),
        (["start", "mine/digits.npz"], options.DATA, "mine/digits.npz: File exists"),
        (["table", "mine", "--csv", "none/a.csv"], options.USAGE, "there is no folder none"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, code, message, folder, capsys):
    assert run(*argv) == code
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_the_longest_title_stands_apart_from_its_state(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    exercise = max(EXERCISES, key=lambda each: len(each.title))
    line = terminal.exercises.line(exercise.number, exercise.title, "unfinished", "")
    terminal.console().print(line)
    first, further = capsys.readouterr().out.splitlines()
    assert first.startswith(" 10  to be written  Convolution without loops: ")
    assert max(len(first), len(further)) <= 80
