import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import cnn
from manual import cnn as manual_cnn
from manual.initializers import INITIALIZERS

SIDES = [cnn, manual_cnn]
sides = pytest.mark.parametrize("side", SIDES, ids=["autodiff", "manual"])


@pytest.mark.parametrize("initializer", sorted(INITIALIZERS))
def test_both_sides_draw_the_same_parameters(initializer):
    key, shape = jax.random.key(7), ((6, 5, 2), (3,), 4)
    got, want = (side.init(key, *shape, initializer=initializer) for side in SIDES)
    chex.assert_trees_all_equal(got, want, strict=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_both_sides_draw_the_same_parameters_in_any_dtype(dtype):
    with jax.enable_x64(dtype == "float64"):
        key, shape = jax.random.key(7), ((4, 4, 1), (2, 3), 2)
        got, want = (side.init(key, *shape, dtype=dtype) for side in SIDES)
        chex.assert_trees_all_equal(got, want, strict=True)


@sides
def test_a_network_by_hand(side):
    """One pixel is left of four, two of which are the largest: the first gets the gradient."""
    kernel = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(2)
    params = [{"w": kernel, "b": jnp.ones(1)}, {"w": jnp.ones((1, 1)), "b": jnp.zeros(1)}]
    x = jnp.asarray([[1.0, 3.0], [3.0, -1.0]]).reshape(1, 2, 2, 1)
    # z = 2x + 1 = 3, 7, 7, −1: the prediction is 7, against 5.
    np.testing.assert_array_equal(side.predict(params, x), [[7.0]])
    run = functools.partial(side.loss_and_grad, loss="mean_squared_error")
    value, grads = jax.jit(run)(params, (x, jnp.full((1, 1), 5.0)))
    assert value == 4
    np.testing.assert_array_equal(grads[1]["w"], [[4 * 7]])
    np.testing.assert_array_equal(grads[1]["b"], [4])
    np.testing.assert_array_equal(grads[0]["b"], [4])
    # δ = 4 at row 0, column 1: each weight gets the pixel that it lay on.
    weights = 4 * np.asarray([[0, 0, 0], [1, 3, 0], [3, -1, 0]])
    np.testing.assert_array_equal(grads[0]["w"][..., 0, 0], weights)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_jit_and_vmap_keep_the_dtype(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = cnn.init(jax.random.key(7), (4, 5, 1), (2,), 3, dtype=dtype)
        params = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
        batch = jnp.ones((2, 4, 5, 1), dtype), jnp.asarray([0, 2])
        values, grads = jax.jit(jax.vmap(cnn.loss_and_grad, (0, None)))(params, batch)
        assert values.dtype == dtype
        assert values.shape == (2,)
        chex.assert_trees_all_equal_shapes_and_dtypes(grads, params)
        chex.assert_tree_all_finite(grads)


@sides
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (((28, 28, 0), (3,), 2), r"sizes must be positive, got image \(28, 28, 0\), channels"),
        (((4, 4, 1), (3, -1), 2), r"sizes must be positive, got .*channels \(3, -1\)"),
        (((4, 4, 1), (3,), 0), "sizes must be positive, got .*n_out 0"),
        (((7, 3, 1), (3, 4), 2), r"an image of \(7, 3\) is too small to be halved 2 times"),
    ],
)
def test_init_refuses_sizes_that_are_no_network(side, shape, message):
    with pytest.raises(ValueError, match=message):
        side.init(jax.random.key(0), *shape)


@sides
def test_wrong_names_and_targets_are_refused(side):
    with pytest.raises(ValueError, match="unknown initializer 'he'; choose from glorot_normal, "):
        side.init(jax.random.key(0), (2, 2, 1), (2,), 1, initializer="he")
    params = side.init(jax.random.key(0), (2, 2, 1), (2,), 1)
    x, targets = jnp.ones((3, 2, 2, 1)), jnp.ones((3, 1))
    for function in (side.loss, side.loss_and_grad):
        with pytest.raises(
            ValueError, match="unknown loss 'mse'; choose from mean_squared_error, "
        ):
            jax.eval_shape(functools.partial(function, loss="mse"), params, (x, targets))
        run = functools.partial(function, loss="mean_squared_error")
        with pytest.raises(AssertionError):
            jax.eval_shape(run, params, (x, targets[:, 0]))
