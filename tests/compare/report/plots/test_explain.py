import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")

from compare import terminal
from compare.report.plots import explain


def row(initialisation, activation, depth, norms):
    return {
        "initialisation": initialisation, "activation": activation, "depth": depth,
        "norms": norms, "first_over_last": None,
    }  # fmt: skip


NORMS = [
    row("zero", "tanh", 2, [0.0, 0.0, 0.0]), row("zero", "relu", 2, [0.0, 0.0, 0.5]),
    row("He", "tanh", 2, [2.0, 1.0, 0.5]), row("He", "relu", 2, [1e-9, 1e-3, 0.5]),
]  # fmt: skip
DEAD = [
    {"rate": 0.1, "steps": [0, 10, 20], "dead": [0.0, 0.25, 0.5]},
    {"rate": 2.0, "steps": [0, 10, 20], "dead": [0.0, 1.0, 1.0]},
]
RATES = [
    {
        "rates": [1e-3, 1e-2, 1e-1], "losses": [2.3, 2.0, 4.0], "smooth": [2.3, 2.1, 3.0],
        "steepest": 1e-3, "least": 1e-2,
    }
]  # fmt: skip


def test_norms_are_drawn_where_they_are_not_zero_and_told_where_they_are():
    figure = explain.norms(NORMS)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == ["zero, tanh", "He, tanh", "zero, relu", "He, relu"]
    (line,) = panels["He, relu"].get_lines()
    assert np.asarray(line.get_xdata()).tolist() == [0, 0.5, 1]
    assert np.asarray(line.get_ydata()).tolist() == [1e-9, 1e-3, 0.5]
    assert [t.get_text() for t in panels["zero, tanh"].texts] == ["0 in every layer"]
    assert "but the last" in panels["zero, relu"].texts[0].get_text()
    assert not panels["He, tanh"].texts


def test_shares_and_losses_are_drawn_as_measured():
    lines = explain.dead_relus(DEAD).axes[0].get_lines()
    assert [np.asarray(line.get_ydata()).tolist() for line in lines] == [
        row["dead"] for row in DEAD
    ]
    dots, smooth, *_ = explain.learning_rates(RATES).axes[0].get_lines()
    assert np.asarray(dots.get_ydata()).tolist() == RATES[0]["losses"]
    assert np.asarray(smooth.get_ydata()).tolist() == RATES[0]["smooth"]


def test_the_file_of_the_same_results_is_the_same(tmp_path):
    files = [tmp_path / name for name in ("a.svg", "b.svg", "c.png", "d.pdf")]
    for file in files:
        explain.save(explain.dead_relus, DEAD, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert all(file.stat().st_size > 1000 for file in files)


def test_a_terminal_has_the_numbers(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    console = terminal.console()
    console.print(terminal.explain.norms(NORMS))
    console.print(terminal.explain.dead_relus(DEAD))
    console.print(terminal.explain.learning_rates(RATES))
    out = capsys.readouterr().out
    for text in ("0 → 0", "0 → 5e-01", "1e-09 → 5e-01", "25 %", "rate of 0.001", "least at 0.01"):
        assert text in out
    assert max(map(len, out.splitlines())) <= 80
