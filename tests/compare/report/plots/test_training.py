import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")

from compare.report.plots import figures
from compare.report.plots import training as training_plots


def svg(figure):
    """What a figure draws; drawing also shows that nothing in it is invalid."""
    return figures.svg(figure, "picture")


def test_curves_have_both_sides_and_both_parts(training):
    figure = training_plots.curves(training)
    for axes, quantity in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
        assert set(lines) == {
            f"{part}, {side}" for part in ("train", "test") for side in ("by hand", "jax.grad")
        }
        for side, result in zip(("by hand", "jax.grad"), training, strict=True):
            expected = [row[f"test_{quantity}"] for row in result["history"]]
            assert lines[f"test, {side}"] == expected
    assert ">accuracy<" in svg(figure), "text is text"


def test_a_missing_number_is_a_gap_and_one_epoch_is_a_point(training):
    (alone, _) = training
    alone["history"] = alone["history"][:1]
    alone["history"][0]["test_loss"] = None
    figure = training_plots.curves([alone])
    assert all(line.get_marker() == "o" for line in figure.axes[0].lines)
    svg(figure)


def test_confusion_has_every_count(training):
    figure = training_plots.confusion(training[0])
    (axes,) = figure.axes
    shown = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text()
             for t in axes.texts}  # fmt: skip
    counts = training[0]["confusion"]
    assert shown == {(i, j): str(c) for i, row in enumerate(counts) for j, c in enumerate(row) if c}
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first class on top"


def test_the_boundary_has_the_rows_of_xor(xor_training):
    figure = training_plots.boundary(xor_training[0])
    offsets = [np.asarray(c.get_offsets()).tolist() for c in figure.axes[0].collections]
    assert [[0, 0], [1, 1]] in offsets
    assert [[0, 1], [1, 0]] in offsets
    svg(figure)


def test_a_boundary_that_is_nowhere(xor_training):
    xor_training[0]["decision_boundary"]["probability"] = [[0.2] * 41] * 41
    svg(training_plots.boundary(xor_training[0], [(0, 0, 0)]))


def test_the_parting_is_marked(training):
    text = svg(training_plots.parting(training[0]))
    assert "largest for what is allowed: step 400" in text
    assert "one ulp" in text


def test_no_distance_is_said(training):
    found = training[0]["parting"]
    found.update(verdict="identical", step=None, distance=[0.0] * 100, spread=[0.0] * 100)
    assert "no distance at any step" in svg(training_plots.parting(training[0]))


def test_norms_from_the_input_down(training):
    figure = training_plots.gradient_norms(training[0])
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["0/b", "0/w", "1/b", "1/w", "2/b", "2/w"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_xscale() == "log"


def test_names_are_text_and_no_mathematics(training):
    training[0]["gradient_norms"][0]["leaf"] = "$\\frac$ <b>"
    assert "$\\frac$ &lt;b&gt;" in svg(training_plots.gradient_norms(training[0]))
