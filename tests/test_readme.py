"""The README stays true: its code runs, its commands exist, its layout is there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
LAST_WORDS = ("AGREE", "DETECTED", "MEASURED", "TRAINED")
COMMANDS = re.findall(r"^(?:\$ )?(python -m compare.*)$", README, re.MULTILINE)


@pytest.mark.parametrize("code", PYTHON_BLOCKS, ids=range(len(PYTHON_BLOCKS)))
def test_code_runs(code):
    exec(compile(code, "README.md", "exec"), {})


def run(command, tmp_path):
    environment = dict(os.environ)
    if MNIST.is_dir():
        environment["HANDGRAD_DATA"] = str(MNIST)
    arguments = [sys.executable, *shlex.split(command, comments=True)[1:]]
    return subprocess.run(
        arguments,
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_commands_run(command, tmp_path):
    command = command.replace("path/to/mnist", str(MNIST))
    if str(MNIST) in command and not MNIST.is_dir():
        pytest.skip("full MNIST is not at ../shared/data/mnist")
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--help" in command or done.stdout.splitlines()[-1].startswith(LAST_WORDS)


@pytest.mark.parametrize("target", ["compare", "test"])
def test_quick_start_has_the_two_commands(target):
    assert f"make {target}" in README
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_layout_is_there():
    layout = re.search(r"## Layout\n+```text\n(.*?)```", README, re.DOTALL)
    assert layout
    for line in layout[1].splitlines():
        assert (ROOT / line.split()[0]).exists(), line
