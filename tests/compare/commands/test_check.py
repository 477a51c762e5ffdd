import json
import re
import sys
from pathlib import Path

import pytest

from compare import cli, own
from compare.commands import options

ROOT = Path(__file__).parents[3]
FILE = '''
import jax.numpy as jnp
import numpy as np

raised = "at import only once"


def square_fwd(x):
    """y = x²."""
    return x**2, (x,)


def square_bwd(residuals, dy):
    """dx = 2 x dy."""
    return (2 * residuals[0] * dy,)


def line_loss(params, x):
    return jnp.sum(x @ params["w"])


def line_loss_and_grad(params, x):
    y = np.asarray(x) @ params["w"]
    return y.sum(), {"w": x.sum(axis=0)}


def inputs():
    return np.linspace(0.5, 1.5, 3)


def line_inputs():
    return {"w": np.ones(3)}, np.arange(6.0).reshape(2, 3)
'''
WRONG = FILE.replace("x.sum(axis=0)", "2 * x.sum(axis=0)")


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return lambda text, name="mine.py": (tmp_path / name).write_text(text)


def run(*argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", *argv])
    return exit_.value.code


def test_every_pair_of_the_file_is_checked(write, capsys, tmp_path):
    write(FILE)
    assert run("mine.py", "--json", "found.json", "--html", "found.html") == options.AGREE
    out, err = capsys.readouterr()
    assert err == ""
    assert "square_bwd against jax.vjp of square_fwd" in out
    assert "AGREE  (float64, no jit" in out, "NumPy runs without jit"
    assert out.splitlines()[-1] == "AGREE: 2 of 2 comparisons"
    assert max(map(len, out.splitlines())) <= 80
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["name"] for row in found["results"]] == ["square", "line_loss_and_grad"]
    assert found["reproduce"].endswith("check mine.py --json found.json --html found.html")
    assert "dx = 2 x dy." in (tmp_path / "found.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "found.html", "found.json", "mine.py",
    ]  # fmt: skip


HALVES = """

def power_fwd(x, n):
    return x**n, x


def power_bwd(n, x, dy):
    return (n * x ** (n - 1) * dy,)


def power_inputs():
    return np.ones(2), 3
"""


def test_what_cannot_be_checked_does_not_keep_the_rest_from_it(write, capsys):
    write(FILE[: FILE.index("def line_loss")] + FILE[FILE.index("def inputs") :] + HALVES)
    assert run("mine.py") == options.USAGE
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "INCOMPLETE: 1 of 2 comparisons agree; 1 could not be made"
    (line,) = err.splitlines()
    assert line.startswith("handgrad: not checked: power_bwd against jax.vjp of power_fwd: mine.py")
    assert "a rule with nondiff_argnums is checked as it is decorated" in line


ALONE = """

def cube_fwd(x):
    return x**3, (x,)


def cubes_bwd(residuals, dy):
    return (3 * residuals[0] ** 2 * dy,)


@jax.custom_vjp
def steps(x):
    return x


steps.defvjp(lambda x: (x, None), lambda _, dy: (dy,))
"""


def test_what_lacks_its_other_half_is_told(write, capsys):
    square = "import jax\n" + FILE[: FILE.index("def line_loss")]
    write(square + FILE[FILE.index("def inputs") : FILE.index("def line_inputs")] + ALONE)
    assert run("mine.py") == options.AGREE
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "AGREE: 1 of 1 comparisons"
    assert err.splitlines() == [
        "handgrad: left out: cube_fwd: there is no cube_bwd; define it",
        "handgrad: left out: cubes_bwd: there is no cubes_fwd; define it",
        "handgrad: left out: steps: there is no steps_inputs(); define it, or name it: "
        "mine.py:steps",
    ]


def test_a_candidate_without_a_loss_is_told_and_the_check_is_incomplete(write, capsys):
    write(FILE.replace("def line_loss(", "def lines_loss("))
    assert run("mine.py") == options.DATA
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "INCOMPLETE: 1 of 2 comparisons agree; 1 could not be made"
    assert err == (
        "handgrad: not checked: line_loss_and_grad: there is no line_loss; define it, or name a "
        "loss: mine.py:line_loss_and_grad mine.py:LOSS\n"
    )


def test_a_mistake_is_shown_with_its_line(write, capsys):
    write(WRONG)
    assert run("mine.py:line_loss_and_grad", "mine.py:line_loss", "--no-jit") == options.DISAGREE
    out = capsys.readouterr().out
    assert "MANUAL WRONG  (float64, no jit" in out
    assert '▸   24  return y.sum(), {"w": 2 * x.sum(axis=0)}' in out
    assert out.splitlines()[-1] == "DISAGREE: 1 of 1 comparisons"


def test_the_manual_shows_what_is_printed(write, capsys):
    page = (ROOT / "docs" / "tests-and-notebooks.md").read_text(encoding="utf-8")
    code = next(c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "logistic" in c)
    (shown,) = re.findall(r"```text\n(logistic.*?)```", page, re.DOTALL)
    write(code, "logistic.py")
    assert run("logistic.py") == options.DISAGREE
    number = r"[-−]?\d+(\.\d+)?(e[-+]\d+)?"
    printed, wanted = (
        re.sub(number, "#", text).split() for text in (capsys.readouterr().out, shown)
    )
    assert printed == wanted


def test_inputs_are_drawn_and_options_are_passed_on(write, capsys):
    write(FILE)
    asked = ("mine.py:square_bwd", "--shapes", "x=4", "--dtype", "bfloat16", "--accuracy", "0.1")
    assert run(*asked) == options.AGREE
    out = capsys.readouterr().out
    assert "AGREE  (bfloat16, jit" in out


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["none.py"], options.DATA, "none.py: No such file or directory"),
        (["mine.py:square"], options.DATA, "has no function square; did you mean square_"),
        (["mine.py", "mine.py:line_loss"], options.USAGE, "name the function as well"),
        (["mine.py:square_bwd", "mine.py:no_loss"], options.DATA, "mine.py: has no function no_l"),
        (["mine.py:square_bwd", "--shapes", "x"], options.USAGE, "--shapes x: 'x' is no shape"),
        (["mine.py:square_bwd", "--shapes", "y=3"], options.USAGE, "--shapes: no shape for x"),
        (
            ["mine.py:line_loss_and_grad", "--shapes", "w=3,x=2x4"],
            options.DATA,
            "mine.py:19: TypeError: ",
        ),
        (["mine.py", "--accuracy", "3"], options.USAGE, "accuracy is a share"),
        (["mine.py", "--html", "no/x.html"], options.USAGE, "there is no folder no"),
    ],
)
def test_what_cannot_be_checked_is_told_in_one_line(write, capsys, argv, code, message):
    write(FILE)
    assert run(*argv) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


def test_saving_checks_again_until_it_is_interrupted(write, capsys, monkeypatch):
    saves = [WRONG, "import", FILE]
    write(FILE)

    def changed(files):
        if not saves:
            raise KeyboardInterrupt
        write(saves.pop(0))

    monkeypatch.setattr(own, "changed", changed)
    assert run("mine.py:line_loss_and_grad", "--watch") == options.AGREE
    out, err = capsys.readouterr()
    words = [line.split(":")[0] for line in out.splitlines() if "of 1 comparisons" in line]
    assert words == ["AGREE", "DISAGREE", "AGREE"]
    assert "handgrad: mine.py:1: SyntaxError" in err
    assert err.count("watching mine.py; Ctrl-C ends") == 4
