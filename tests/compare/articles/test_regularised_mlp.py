import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.articles import regularised_mlp
from compare.articles.claim import Options
from compare.articles.descent import METHODS


def test_the_range_test_takes_one_step_at_each_rate():
    def half_square(params, state, batch, key):
        return (params["w"] ** 2 / 2, state), {"w": params["w"]}

    losses = regularised_mlp.range_test(
        half_square, {"w": jnp.array(1.0)}, (), jnp.array([0.5, 1.0, 3.0])
    )
    np.testing.assert_allclose(losses, [0.5, 0.125, 0.0])


@pytest.mark.parametrize("wrong", [False, True])
def test_sigmoid_s_largest_derivative_and_the_decay_through_ten_layers(wrong):
    def method(model):
        def own(*args):
            value, grads = model.manual(*args)
            return value, jax.tree.map(lambda g: 0 * g + 2 * g, grads) if wrong else grads

        return own

    claim = regularised_mlp._sigmoid_derivative(method)
    assert claim.holds is not wrong
    assert claim.values["derivative"].max() == pytest.approx(0.5 if wrong else 0.25)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_depth(method):
    setup = regularised_mlp.prepare(Options(quick=True))
    sigmoid, he = regularised_mlp._depth(setup, method)
    assert sigmoid.holds
    assert he.holds
    norms = sigmoid.values["delta_norms"]["sigmoid"]
    assert len(norms) == 11
    assert (np.diff(norms) > 0).all(), "smaller at every layer on the way back"


def test_depth_without_he_is_not_taken_for_he():
    setup = regularised_mlp.prepare(Options(quick=True))
    _, he = regularised_mlp._depth(setup._replace(relu=setup.sigmoid), METHODS["manual"])
    assert not he.holds
