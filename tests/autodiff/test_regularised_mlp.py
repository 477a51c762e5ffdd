import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import regularised_mlp
from manual import regularised_mlp as manual_regularised_mlp
from manual.initializers import INITIALIZERS

SIDES = [regularised_mlp, manual_regularised_mlp]
sides = pytest.mark.parametrize("side", SIDES, ids=["autodiff", "manual"])


@pytest.mark.parametrize("initializer", sorted(INITIALIZERS))
def test_both_sides_draw_the_same_parameters_and_state(initializer):
    key, sizes = jax.random.key(7), (5, 4, 3)
    got = regularised_mlp.init(key, sizes, initializer=initializer)
    want = manual_regularised_mlp.init(key, sizes, initializer=initializer)
    chex.assert_trees_all_equal(got, want, strict=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_both_sides_draw_the_same_parameters_in_any_dtype(dtype):
    with jax.enable_x64(dtype == "float64"):
        got, want = (side.init(jax.random.key(7), (2, 3, 1), dtype=dtype) for side in SIDES)
        chex.assert_trees_all_equal(got, want, strict=True)


@sides
def test_a_network_by_hand(side):
    """One unit, two rows; every number is exact in binary."""
    one = functools.partial(jnp.full, (1,))
    params = [
        {"w": one(1.0)[None], "b": one(5.0), "scale": one(2.0), "bias": one(1.0)},
        {"w": one(3.0)[None], "b": one(0.0)},
    ]
    state = [{"mean": one(4.0), "var": one(8.0)}]
    batch, key = (jnp.asarray([[-1.0], [1.0]]), jnp.zeros((2, 1))), jax.random.key(0)
    settings = {"rate": 0.0, "momentum": 0.75, "epsilon": 3.0, "loss": "mean_squared_error"}
    run = jax.jit(functools.partial(side.loss_and_grad, **settings))
    (value, new_state), grads = jax.tree.map(lambda a: a.tolist(), run(params, state, batch, key))
    # z = 4, 6: mean 5, variance 1, r = 1/√(1 + 3) = ½. x̂ = ∓½, ẑ = 2x̂ + 1 = 0, 2; y = 0, 6.
    assert value == (0 + 36) / 2
    assert new_state == [{"mean": [0.75 * 4 + 0.25 * 5], "var": [0.75 * 8 + 0.25 * 1]}]
    # dy = 0, 6; da = 0, 18; relu'(0) = 0. dz = γ r (dẑ − 9 − x̂ · 9/2) = ∓6¾.
    assert grads == [
        {"w": [[2 * 6.75]], "b": [0], "scale": [18 / 2], "bias": [18]},
        {"w": [[2 * 6]], "b": [6]},
    ]
    # (6 − 4)/√(8 + 1) = ⅔: y = 3 (2 · ⅔ + 1).
    logits = side.predict(params, state, jnp.ones((1, 1)), epsilon=1.0)
    np.testing.assert_allclose(logits, [[7.0]], rtol=4 * float(np.finfo(np.float32).eps))


@sides
def test_masks_are_those_of_bernoulli_from_one_key_a_layer(side):
    """With β = 2 the ReLU of three rows is on, as |x̂| ≤ √2: an activation is 0 by its mask."""
    sizes, rate = (2, 40, 50, 1), 0.8
    params, state = side.init(jax.random.key(0), sizes)
    for layer in params[:-1]:
        layer["bias"] = layer["bias"] + 2
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2)), "float32")
    batch, key = (x, jnp.full((3, 1), 0.5)), jax.random.key(11)
    _, grads = jax.jit(functools.partial(side.loss_and_grad, rate=rate))(params, state, batch, key)
    keys = jax.random.split(key)
    for layer, k, n in zip(grads[1:], keys, sizes[1:-1], strict=True):
        mask = jax.random.bernoulli(k, jnp.float32(1 - rate), (3, n))
        np.testing.assert_array_equal(jnp.any(layer["w"], axis=1), jnp.any(mask, axis=0))


@sides
def test_another_key_is_another_mask_and_a_rate_of_zero_is_none(side):
    params, state = side.init(jax.random.key(0), (3, 30, 1))
    batch = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), "float32"), jnp.ones((4, 1))

    @functools.partial(jax.jit, static_argnums=1)
    def run(key, rate):
        return side.loss(params, state, batch, key, rate=rate)[0]

    first, second = jax.random.split(jax.random.key(1))
    assert run(first, 0.5) == run(first, 0.5)
    assert run(first, 0.5) != run(second, 0.5)
    assert run(first, 0.0) == run(second, 0.0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_jit_and_vmap_keep_the_dtype(dtype):
    with jax.enable_x64(dtype == "float64"):
        params, state = regularised_mlp.init(jax.random.key(7), (2, 3, 1), dtype=dtype)
        params = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
        batch = jnp.asarray([[0, 1], [1, 0], [1, 1]], dtype), jnp.ones((3, 1), dtype)
        run = jax.jit(jax.vmap(regularised_mlp.loss_and_grad, (0, None, None, 0)))
        keys = jax.random.split(jax.random.key(1))
        (values, states), grads = run(params, state, batch, keys)
        assert values.dtype == dtype
        assert values.shape == (2,)
        chex.assert_type(jax.tree.leaves(states), dtype)
        chex.assert_trees_all_equal_shapes_and_dtypes(grads, params)
        chex.assert_tree_all_finite(grads)


@sides
@pytest.mark.parametrize("sizes", [(), (3,), (3, 0)])
def test_init_refuses_sizes_that_are_no_network(side, sizes):
    with pytest.raises(ValueError, match="sizes must be at least two positive integers, got"):
        side.init(jax.random.key(0), sizes)


def test_wrong_settings_are_refused():
    params, state = regularised_mlp.init(jax.random.key(0), (2, 3, 1))
    point = params, state, (jnp.ones((3, 2)), jnp.ones((3, 1))), jax.random.key(0)
    for settings, message in [
        ({"loss": "mse"}, "unknown loss 'mse'; choose from mean_squared_error, "),
        ({"rate": -0.1}, r"dropout's rate must be in \[0, 1\), got -0.1"),
        ({"momentum": -1}, "momentum must be between 0 and 1, got -1"),
    ]:
        for function in (regularised_mlp.loss, regularised_mlp.loss_and_grad):
            with pytest.raises(ValueError, match=message):
                jax.eval_shape(functools.partial(function, **settings), *point)
    with pytest.raises(ValueError, match="unknown initializer 'he'; choose from glorot_normal, "):
        regularised_mlp.init(jax.random.key(0), (2, 1), initializer="he")


def test_targets_that_would_broadcast_are_refused():
    params, state = regularised_mlp.init(jax.random.key(0), (2, 3, 1))
    with pytest.raises(AssertionError):
        jax.eval_shape(
            regularised_mlp.loss, params, state, (jnp.ones((3, 2)), jnp.ones(3)), jax.random.key(0)
        )
