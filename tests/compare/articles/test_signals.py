import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.articles.descent import METHODS, layers
from compare.articles.signals import dead_share, delta_norms, drawn
from compare.problems import mlp

LOSS = "sigmoid_binary_cross_entropy"
X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
BATCH = X, np.ones((6, 1), np.float32)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_delta_is_carried_back_by_the_weights(method):
    w1, w2 = np.ones((3, 2)), np.array([[3.0], [4.0]])
    norms = delta_norms(method(mlp((3, 2, 1), "identity", LOSS)), layers(w1, w2), BATCH)
    assert norms[0] / norms[1] == pytest.approx(5)


@pytest.mark.parametrize(("activation", "share"), [("relu", 0.25), ("leaky_relu", 0)])
def test_a_unit_far_below_zero_is_dead_unless_it_leaks(activation, share):
    params = drawn(0, (3, 4, 1), 2.0)
    # Three units far above zero and one far below, whatever the rows are.
    params[0]["b"] = jnp.array([100.0, 100.0, 100.0, -100.0])
    for method in METHODS.values():
        assert dead_share(method(mlp((3, 4, 1), activation, LOSS)), params, BATCH) == share


def test_drawn_has_the_variance_it_was_asked_for():
    (layer,) = drawn(1, (400, 300), 2.0)
    assert float(jnp.var(layer["w"])) == pytest.approx(2 / 400, rel=0.02)
    assert jax.tree.map(jnp.shape, layer) == {"w": (400, 300), "b": (300,)}
