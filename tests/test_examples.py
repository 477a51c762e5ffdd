"""The examples run as they are, each in a folder of its own, and print what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SAID = {
    "01_check_a_backward_pass": [
        "AGREE  (float32, jit", "An error of ", "w1: off by ",
    ],
    "02_a_rule_of_your_own": [
        "the rule alone: agree", "inside a loss: agree",
        "by the rule: [0. 0. 0.]", "by jax.grad: [nan nan nan]",
    ],
    "03_train_with_optax": ["loss 0.", "% of the points are classified right"],
    "04_a_numpy_candidate": [
        "AGREE  (float64, no jit", "as large: nonfinite", "loss: manual has 1 of 1 entries",
    ],
    "05_find_the_line": [
        "MANUAL WRONG", 'out = h + jnp.tanh(h @ params["w"])', "wrong leaves: ['embed']",
        "mistake: overwritten_not_accumulated, confirmed", "mended: agree",
    ],
}  # fmt: skip
"""What each prints."""


def test_every_example_is_here():
    assert sorted(path.stem for path in (ROOT / "examples").glob("*.py")) == list(SAID)


@pytest.mark.parametrize("name", SAID)
def test_an_example_runs(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / f"{name}.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    missing = [words for words in SAID[name] if words not in done.stdout]
    assert not missing, done.stdout
    assert list(tmp_path.iterdir()) == []
