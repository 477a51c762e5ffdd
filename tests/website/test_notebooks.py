"""The notebooks run, and print what they have printed; only the numbers may differ."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from website.notebook_pages import NOTEBOOKS
from website.notebooks import text_of
from website.words import without_numbers

pytest.importorskip("nbclient", reason="pip install 'handgrad[dev]'")

ROOT = Path(__file__).parents[2]
# In a process of its own: this one makes every warning of a library an error.
EXECUTE = """
import json, pathlib, sys
from website.notebooks import executed
print(json.dumps(executed(pathlib.Path(sys.argv[1]))))
"""


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(file.stem for file in NOTEBOOKS.glob("*.ipynb")))
def test_a_notebook_prints_what_it_shows(name, tmp_path):
    file = NOTEBOOKS / f"{name}.ipynb"
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, file],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = text_of(json.loads(done.stdout))
    shown = text_of(json.loads(file.read_text(encoding="utf-8")))
    assert worst_left_out(printed) == worst_left_out(shown), "out of date: make reports"
    shares = [float(share) for share in re.findall(r"([\d.]+)% of the test images", printed)]
    assert all(share > 75 for share in shares)
    assert not shares or shares[-1] > 88


def worst_left_out(text):
    """The words; which of several leaves is the worst is a matter of rounding."""
    return without_numbers(text.replace(" ← worst", "").replace("%", ""))


def test_the_second_hides_five_mistakes():
    notebook = json.loads((NOTEBOOKS / "02-find-the-bug.ipynb").read_text(encoding="utf-8"))
    named = re.findall(r"^mistake: +(\w+)", text_of(notebook), re.MULTILINE)
    assert len(named) == len(set(named)) == 5
