import jax
import numpy as np

from compare.articles import xor
from compare.articles.claim import Options
from compare.articles.descent import METHODS


def claims(method, epochs):
    setup = xor.prepare(Options())._replace(epochs=epochs)
    few = jax.tree.map(lambda p: p[: xor.SEED + 1], (setup.networks, setup.perceptrons))
    setup = setup._replace(networks=few[0], perceptrons=few[1])
    return {claim.claim: claim for claim in xor.claims(setup, method)}


def test_the_first_layer_is_drawn_first():
    rng = np.random.default_rng(42)
    first, second = 0.1 * rng.standard_normal((2, 4)), 0.1 * rng.standard_normal((4, 1))
    layer_1, layer_2 = xor.initial(42, 2, 4, 1)
    np.testing.assert_array_equal(layer_1["w"], first.astype(np.float32))
    np.testing.assert_array_equal(layer_2["w"], second.astype(np.float32))
    assert not layer_1["b"].any()


def test_the_published_run_solves_it_with_other_numbers():
    own = claims(METHODS["manual"], xor.EPOCHS)
    assert own["2-4-1 solves XOR"].holds
    outputs = np.asarray(own["its outputs"].values["outputs"])
    # What an independent NumPy run gives, to its four digits.
    np.testing.assert_allclose(outputs, [0.0008, 0.9984, 0.9985, 0.0127], atol=2e-4)
    assert not own["its outputs"].holds
    assert own["MSE is slower than cross-entropy"].holds
    assert own["softmax(2.0, 1.0, 0.1)"].holds


def test_a_wrong_gradient_solves_nothing():
    def ascending(model):
        def uphill(*args):
            value, grads = model.manual(*args)
            return value, jax.tree.map(lambda g: -g, grads)

        return uphill

    own = claims(ascending, 100)
    assert not own["2-4-1 solves XOR"].holds
    assert not own["MSE is slower than cross-entropy"].holds
    assert not own["softmax(2.0, 1.0, 0.1)"].holds
