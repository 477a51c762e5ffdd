import numpy as np
import pytest

from compare.datasets import Dataset, mnist5k
from compare.explain import fading


@pytest.fixture(scope="module")
def digits():
    """A few hundred real digits, of every second pixel in either direction."""
    data = mnist5k.load()
    x = data.x_train[:600].reshape(-1, 28, 28)[:, ::2, ::2].reshape(-1, 196)
    return Dataset("mnist5k", x, data.y_train[:600], x[:1], data.y_train[:1])


@pytest.fixture(scope="module")
def norms(digits):
    results = fading.norms(digits, seed=0, depths=(6,))
    return {(row["initialisation"], row["activation"]): row for row in results}


def test_every_initialisation_and_activation_is_measured(norms):
    assert len(norms) == len(fading.INITIALIZERS) * len(fading.ACTIVATIONS)
    assert {len(row["norms"]) for row in norms.values()} == {6 + 1}


def test_zero_weights_pass_nothing_back(norms):
    """Only the last layer of sigmoid learns: its inputs are σ(0) = ½."""
    for activation in fading.ACTIVATIONS:
        first, *between, last = norms["zero", activation]["norms"]
        assert first == max(between) == 0
        assert (last > 0) == (activation == "sigmoid")
    assert norms["zero", "tanh"]["first_over_last"] is None


def test_sigmoid_vanishes_whatever_the_initialisation(norms):
    for initialisation in ("small normal", "Xavier", "He"):
        found = norms[initialisation, "sigmoid"]["norms"]
        # Three of four quarters of each of the five layers in between are lost.
        assert found[0] < found[-1] * 0.25**3
        assert norms[initialisation, "sigmoid"]["first_over_last"] == found[0] / found[-1]


def test_xavier_keeps_tanh_and_he_keeps_relu(norms):
    for place in (("Xavier", "tanh"), ("He", "relu")):
        assert 0.1 < norms[place]["first_over_last"] < 10
        assert norms[place]["norms"][0] > 0.1
    small = norms["small normal", "relu"]["norms"]
    assert max(small) < 1e-4 * norms["He", "relu"]["norms"][0]


def test_a_large_rate_kills_units_and_a_small_one_does_not(digits, monkeypatch):
    monkeypatch.setattr(fading, "LOOKS", 8)
    small, large = fading.dead_relus(digits, seed=0, rates=(0.01, 3.0))
    assert small["steps"] == list(range(0, 81, 10))
    assert small["dead"][0] == large["dead"][0] < 0.1
    assert max(small["dead"]) < 0.1
    assert large["dead"][-1] > 0.5


def test_the_finder_stops_where_the_loss_runs_away(digits):
    (found,) = fading.learning_rates(digits, seed=0)
    assert found["rates"][0] == pytest.approx(1e-4)
    assert len(found["rates"]) == len(found["losses"]) == len(found["smooth"])
    assert found["rates"][-1] <= 10
    assert 0.01 < found["steepest"] <= found["least"] < 2
    assert min(found["smooth"]) == found["smooth"][found["rates"].index(found["least"])]
    assert max(found["smooth"]) <= 4 * found["smooth"][0]


def test_smoothing_leaves_a_constant_alone_and_lags_behind_a_jump():
    np.testing.assert_allclose(fading._smoothed(np.full(9, 2.5)), 2.5)
    jump = fading._smoothed(np.array([0.0, 1.0, 1.0]))
    np.testing.assert_allclose(jump, [0, 1 / 1.9, 1.9 / 2.71])
