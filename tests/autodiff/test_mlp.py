import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import mlp
from manual import mlp as manual_mlp
from manual.initializers import INITIALIZERS
from manual.rules.activations import ACTIVATIONS
from manual.rules.losses import LOSSES


def xor(dtype):
    x = jnp.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype)
    return x, jnp.array([[0], [1], [1], [0]], dtype)


def test_both_sides_know_the_same_names():
    assert mlp.ACTIVATIONS.keys() == ACTIVATIONS.keys()
    assert mlp.LOSSES.keys() == LOSSES.keys()
    assert mlp.INITIALIZERS.keys() == INITIALIZERS.keys()


@pytest.mark.parametrize("initializer", sorted(INITIALIZERS))
def test_both_sides_draw_the_same_parameters(initializer):
    key, sizes = jax.random.key(7), (5, 4, 3)
    got = mlp.init(key, sizes, initializer=initializer)
    want = manual_mlp.init(key, sizes, initializer=initializer)
    chex.assert_trees_all_equal(got, want, strict=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_both_sides_draw_the_same_parameters_in_any_dtype(dtype):
    with jax.enable_x64(dtype == "float64"):
        got = mlp.init(jax.random.key(7), (2, 3, 1), dtype=dtype)
        want = manual_mlp.init(jax.random.key(7), (2, 3, 1), dtype=dtype)
        chex.assert_trees_all_equal(got, want, strict=True)


def test_a_perceptron_by_hand():
    params = [{"w": jnp.array([[2.0], [-4.0]]), "b": jnp.array([1.0])}]
    value, grads = mlp.loss_and_grad(params, xor("float32"), loss="mean_squared_error")
    # Predictions 1, −3, 3, −1 against 0, 1, 1, 0: errors 1, −4, 2, −1, all of it exact.
    assert value == (1 + 16 + 4 + 1) / 4
    np.testing.assert_array_equal(grads[0]["w"], [[0.5 * (2 - 1)], [0.5 * (-4 - 1)]])
    np.testing.assert_array_equal(grads[0]["b"], [0.5 * (1 - 4 + 2 - 1)])


def test_there_is_no_activation_after_the_last_layer():
    params = [{"w": -jnp.ones((2, 1)), "b": jnp.zeros(1)}]
    np.testing.assert_array_equal(mlp.predict(params, jnp.ones((1, 2))), [[-2.0]])


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_jit_and_vmap_keep_the_dtype(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = mlp.init(jax.random.key(7), (2, 3, 1), dtype=dtype)
        params = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, -leaf]), params)

        def run(params, batch):
            return mlp.loss_and_grad(params, batch, loss="sigmoid_binary_cross_entropy")

        values, grads = jax.jit(jax.vmap(run, (0, None)))(params, xor(dtype))
        assert values.dtype == dtype
        assert values.shape == (3,)
        chex.assert_trees_all_equal_shapes_and_dtypes(grads, params)
        chex.assert_tree_all_finite(grads)


@pytest.mark.parametrize("sizes", [(), (3,), (3, 0)])
def test_init_refuses_sizes_that_are_no_network(sizes):
    with pytest.raises(ValueError, match="sizes must be at least two positive integers, got"):
        mlp.init(jax.random.key(0), sizes)


def test_unknown_names_are_refused():
    params = mlp.init(jax.random.key(0), (2, 1))
    with pytest.raises(ValueError, match="unknown initializer 'he'; choose from glorot_normal, "):
        mlp.init(jax.random.key(0), (2, 1), initializer="he")
    with pytest.raises(ValueError, match="unknown activation 'gleu'; choose from elu, gelu, "):
        mlp.loss(params, xor("float32"), activation="gleu")
    with pytest.raises(ValueError, match="unknown loss 'mse'; choose from mean_squared_error, "):
        mlp.loss_and_grad(params, xor("float32"), loss="mse")


@pytest.mark.parametrize("loss", ["mean_squared_error", "sigmoid_binary_cross_entropy"])
def test_targets_that_would_broadcast_are_refused(loss):
    x, targets = xor("float32")
    params = mlp.init(jax.random.key(0), (2, 1))
    with pytest.raises(AssertionError):
        mlp.loss(params, (x, targets[:, 0]), loss=loss)
