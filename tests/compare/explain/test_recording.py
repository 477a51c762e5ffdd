import numpy as np
import pytest

from compare import explain
from compare.explain.toys import Network


@pytest.fixture(scope="module")
def toy():
    """XOR and one network, of which every step is a moment."""
    network = Network("2-3-1", (2, 3, 1), "tanh", 0.5, explain.MOMENTS - 1)
    return explain.TOYS["xor"]()._replace(networks=(network,))


@pytest.fixture(scope="module")
def recording(toy):
    (found,) = explain.record(toy, seed=3)["recordings"]
    arrays = [
        {n: None if v is None else np.array(v) for n, v in a.items()} for a in found["layers"]
    ]
    return {**found, "layers": arrays}


def test_each_moment_is_one_step_of_descent_from_the_one_before(recording):
    assert recording["steps"] == list(range(explain.MOMENTS))
    for layer in recording["layers"]:
        for name in "wb":
            by_hand = layer[f"d{name}"][:, 0]
            stepped = layer[name][:-1] - recording["rate"] * by_hand[:-1]
            np.testing.assert_allclose(layer[name][1:], stepped, rtol=0, atol=1e-15)
    losses = np.array(recording["loss"])[:, 0]
    assert losses[-1] < losses[0]


def test_forwards_and_backwards_are_the_equations_that_the_page_shows(toy, recording):
    hidden, output = recording["layers"]
    for engine in range(3):
        z, a, da, dz = (hidden[name][:, engine] for name in ("z", "a", "da", "dz"))
        w, b = hidden["w"], hidden["b"]
        np.testing.assert_allclose(z, toy.x @ w + b[:, None], atol=1e-14)
        np.testing.assert_allclose(a, np.tanh(z), atol=1e-14)
        above = output["dz"][:, engine]
        np.testing.assert_allclose(da, above @ output["w"].swapaxes(1, 2), atol=1e-14)
        np.testing.assert_allclose(dz, da * hidden["slope"], atol=1e-14)
        np.testing.assert_allclose(hidden["dw"][:, engine], toy.x.T @ dz, atol=1e-14)
        np.testing.assert_allclose(hidden["db"][:, engine], dz.sum(axis=1), atol=1e-14)
        chance = np.array(recording["probability"])
        np.testing.assert_allclose(above, (chance - toy.targets) / 4, atol=1e-14)


def test_the_loss_is_the_mean_of_that_of_each_example(recording):
    each = np.array(recording["loss_of_each"])
    np.testing.assert_allclose(np.array(recording["loss"]), each.mean(1)[:, None] * [1, 1, 1])


def test_how_far_the_engines_are_apart_is_told(recording):
    layers = recording["layers"]
    found = max(
        np.ptp(layer[name][30], axis=0).max()
        for layer in layers
        for name in ("dw", "db", "z", "a", "da", "dz")
    )
    assert found <= recording["apart"][30] < 1e-14
    assert recording["apart"][30] > 0, "three programs, which round differently"


def test_the_boundary_passes_through_the_predictions(recording):
    boundary = recording["boundary"]
    axis, plane = np.array(boundary["axis"]), np.array(boundary["probability"])
    (zero,), (one,) = np.flatnonzero(axis == 0), np.flatnonzero(axis == 1)
    chance = np.array(recording["probability"])[:, :, 0]
    for row, (first, second) in enumerate(((zero, zero), (zero, one), (one, zero), (one, one))):
        np.testing.assert_allclose(plane[:, second, first], chance[:, row], atol=1e-14)


def test_what_fades_is_measured_by_layer(recording):
    for i, layer in enumerate(recording["layers"]):
        wanted = np.sqrt((layer["dz"][:, 0] ** 2).sum(axis=(1, 2)))
        np.testing.assert_allclose(np.array(recording["norm"])[:, i], wanted)
