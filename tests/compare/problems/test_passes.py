from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.datasets import xor
from compare.problems import mlp, passes

SETTINGS = {"activation": "tanh", "loss": "sigmoid_binary_cross_entropy"}


@pytest.fixture(scope="module")
def point():
    data = xor.load()
    with jax.enable_x64(True):
        params, _ = mlp((2, 3, 3, 1), "tanh", SETTINGS["loss"]).init(jax.random.key(1))
        params, batch = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, "float64"), (params, (data.x_train, data.y_train))
        )
        return params, batch


@pytest.fixture(scope="module")
def made(point):
    with jax.enable_x64(True):
        found = {
            name: (engine if name == "scalar engine" else jax.jit(engine))(*point)
            for name, engine in ((n, partial(e, **SETTINGS)) for n, e in passes.ENGINES.items())
        }
    return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("other", ["jax.grad", "scalar engine"])
def test_all_between_the_ends_is_the_same(made, other):
    assert jax.tree.structure(made[other]) == jax.tree.structure(made["by hand"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-14),
        made[other],
        made["by hand"],
    )


def test_the_derivatives_between_obey_the_chain_rule(made):
    hand = made["by hand"]
    for layer, dz in zip(hand.grads, hand.dz, strict=True):
        np.testing.assert_allclose(layer["b"], dz.sum(axis=0), atol=1e-15)
    for z, a, da, dz in zip(hand.z[:-1], hand.a, hand.da, hand.dz, strict=False):
        np.testing.assert_allclose(a, np.tanh(z), atol=1e-15)
        np.testing.assert_allclose(dz, da * (1 - np.tanh(z) ** 2), atol=1e-15)


def test_slopes_are_those_of_the_activation():
    z = jnp.array([[-1.0, 0.0, 2.0]])
    np.testing.assert_allclose(passes.slopes("relu", z), [[0.0, 0.0, 1.0]])
    np.testing.assert_allclose(passes.slopes("tanh", z), 1 - np.tanh(z) ** 2, rtol=1e-6)
