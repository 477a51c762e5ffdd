"""The examples run as they are, each in a folder of its own, and print what they promise."""

import runpy
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
        "mistake: path_cut, confirmed", "mended: agree",
    ],
}  # fmt: skip
"""What each prints."""


def test_every_example_is_here():
    assert sorted(path.stem for path in (ROOT / "examples").glob("*.py")) == list(SAID)


@pytest.mark.parametrize("name", SAID)
def test_an_example_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    missing = [words for words in SAID[name] if words not in printed]
    assert not missing, printed
    assert list(tmp_path.iterdir()) == []
