"""A notebook, executed headless: what a person sees below the cells."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")
nbclient = pytest.importorskip("nbclient", reason="pip install 'handgrad[dev]'")

CELLS = [
    """
import json, sys
import jax.numpy as jnp
from compare import check_gradients


def loss(w):
    return jnp.sum(jnp.sin(w))


def loss_and_grad(w):
    "dw = sin w."
    return loss(w), jnp.sin(w)


report = check_gradients(loss_and_grad, loss, jnp.linspace(0.1, 1.2, 3))
report
""",
    "report.save('page.html'); report.save('report.json')",
    """
with open("bare.json", "w") as file:
    json.dump(report.to_dict(), file)
""",
    """
import time
from compare import terminal

with terminal.progress("working"):
    time.sleep(0.3)
""",
    "print(str(report))",
]
# In a process of its own: this one makes every warning of a library an error.
EXECUTE = """
import nbclient, nbformat
notebook = nbformat.read("cells.ipynb", as_version=4)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The folder of a notebook that was executed, and the outputs of its cells."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = [
        {"cell_type": "code", "execution_count": None, "id": f"cell{i}", "metadata": {},
         "outputs": [], "source": source.strip()}
        for i, source in enumerate(CELLS)
    ]  # fmt: skip
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "cells.ipynb").write_text(json.dumps(notebook))
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "executed.ipynb").read_text())
    return folder, [cell["outputs"] for cell in found["cells"]]


def test_a_report_shows_itself(executed):
    _, (shown, *_) = executed
    html, text = ("".join(shown[0]["data"][kind]) for kind in ("text/html", "text/plain"))
    assert "line by line (Cell In[1])</figcaption><pre><code>      " in html
    assert "ipykernel" not in html + text
    for said in ("DISAGREE", 'class="bar wrong"', "line by line", "dw = sin w.", "dark)"):
        assert said in html, said
    assert "<script" not in html
    assert text.startswith("MANUAL WRONG  (float32, jit")


def test_saving_and_working_leave_nothing_below_the_cell(executed):
    folder, (_, saved, dumped, worked, _) = executed
    assert [saved, dumped, worked] == [[], [], []]
    assert "<!DOCTYPE html>" in (folder / "page.html").read_text()


def test_the_command_takes_what_was_saved(executed, capsys):
    from compare import cli

    folder, _ = executed
    for name in ("report.json", "bare.json"):
        with pytest.raises(SystemExit) as exit_:
            cli.main(["report", "--from", str(folder / name), "--out", str(folder / "again.html")])
        assert exit_.value.code == 1
        assert "DISAGREE: 1 of 1 comparisons, on loss_and_grad" in capsys.readouterr().out


def test_text_fits_a_terminal(executed):
    _, outputs = executed
    text = "".join(outputs[-1][0]["text"])
    assert max(map(len, text.splitlines())) <= 80
