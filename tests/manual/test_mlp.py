import functools
from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manual import mlp

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu}
CASES = [
    ((5, 7, 4, 3), "relu", "softmax_cross_entropy_with_integer_labels"),
    ((5, 4, 3), "tanh", "softmax_cross_entropy"),
    ((2, 6, 1), "gelu", "sigmoid_binary_cross_entropy"),
    ((2, 1), "relu", "mean_squared_error"),
]
cases = pytest.mark.parametrize(("sizes", "activation", "loss"), CASES)


def reference_loss(params, batch, *, activation, loss):
    a, targets = batch
    *hidden, last = params
    for layer in hidden:
        a = ACTIVATIONS[activation](a @ layer["w"] + layer["b"])
    z = a @ last["w"] + last["b"]
    if loss == "mean_squared_error":
        return jnp.mean((z - targets) ** 2)
    return getattr(optax.losses, loss)(z, targets).mean()


def draw(sizes, loss, batch, dtype, seed=0):
    """Parameters with random biases, because zero ones would hide theirs from the tests."""
    rng = np.random.default_rng(seed)
    params = [
        {
            "w": jnp.asarray(rng.standard_normal((n_in, n_out)) / np.sqrt(n_in), dtype),
            "b": jnp.asarray(rng.standard_normal(n_out), dtype),
        }
        for n_in, n_out in pairwise(sizes)
    ]
    x = jnp.asarray(rng.standard_normal((batch, sizes[0])), dtype)
    if loss.endswith("labels"):
        return params, (x, jnp.asarray(rng.integers(0, sizes[-1], batch)))
    return params, (x, jnp.asarray(rng.uniform(size=(batch, sizes[-1])), dtype))


def majorant(params, batch):
    """For each leaf, what the backward pass handles when nothing cancels.

    Each |f(z)| ≤ |z| and |f′|, |f″| ≤ 1.13; the losses' |dz| ≤ 2 (|z| + Σ y + 1). A relative
    error of eps anywhere moves a gradient by at most eps times its leaf's majorant, times (1 + |z|)
    for each f′ and for the loss, through which it may act as well.
    """
    a, targets = np.abs(np.asarray(batch[0])), np.abs(np.asarray(batch[1]))
    layers = [{k: np.abs(np.asarray(v)) for k, v in layer.items()} for layer in params]
    inputs, largest = [], 1.0
    for layer in layers:
        inputs.append(a)
        a = a @ layer["w"] + layer["b"]
        largest *= 1 + a.max()
    total = targets.sum(axis=1).max() if targets.ndim == 2 else 1.0
    delta, leaves = 2 * (a + total + 1) / len(a) * largest, []
    for layer, a in zip(reversed(layers), reversed(inputs), strict=True):
        leaves.append({"w": a.T @ delta, "b": delta.sum(axis=0)})
        delta = 1.13 * delta @ layer["w"].T
    return leaves[::-1]


@cases
@pytest.mark.parametrize(("dtype", "batch"), [("float32", 7), ("float64", 1)])
def test_loss_and_grad_is_value_and_grad(sizes, activation, loss, dtype, batch, assert_rounds_to):
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        params, data = draw(sizes, loss, batch, dtype)
        run = functools.partial(mlp.loss_and_grad, activation=activation, loss=loss)
        reference = functools.partial(reference_loss, activation=activation, loss=loss)
        # One compilation takes less time than that of every operation by itself.
        value, grads = jax.jit(run)(params, data)
        want, want_grads = jax.jit(jax.value_and_grad(reference))(params, data)
        scales = majorant(params, data)
    chex.assert_trees_all_equal_shapes_and_dtypes(grads, want_grads, params)
    # A layer is a sum of n_in products forwards, of n_out and of the batch backwards, and at most
    # 44 roundings for both passes through the activation or the loss; all of it on both sides.
    roundings = 2 * (2 * sum(sizes) + batch + 44 * len(sizes))
    top = max(leaf.max() for leaf in jax.tree.leaves(scales)) * batch
    assert_rounds_to(value, want, roundings=roundings, scale=top)
    leaves = (jax.tree.leaves(tree) for tree in (grads, want_grads, scales))
    for got, expected, scale in zip(*leaves, strict=True):
        assert_rounds_to(got, expected, roundings=roundings, scale=scale)


@pytest.mark.parametrize(("sizes", "activation", "loss"), CASES[1:2])
def test_jax_composes_the_same_rules(sizes, activation, loss):
    params, batch = draw(sizes, loss, 3, "float32")
    settings = {"activation": activation, "loss": loss}
    got = mlp.loss_and_grad(params, batch, **settings)
    want = jax.value_and_grad(mlp.loss)(params, batch, **settings)
    # The same operations in the same order: not even the last bit differs.
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_dead_units_at_the_kink_get_no_gradient():
    params = mlp.init(jax.random.key(0), (2, 3, 1))
    batch = jnp.zeros((1, 2)), jnp.ones((1, 1))
    _, grads = mlp.loss_and_grad(params, batch, loss="mean_squared_error")
    np.testing.assert_array_equal(grads[0]["b"], np.zeros(3))
    np.testing.assert_array_equal(grads[1]["b"], [-2.0])


def test_jit_vmap_and_bfloat16():
    loss = "softmax_cross_entropy_with_integer_labels"
    params, batch = draw((5, 4, 3), loss, 7, "bfloat16")
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    values, grads = jax.jit(jax.vmap(mlp.loss_and_grad, (0, None)))(stacked, batch)
    chex.assert_shape(values, (2,))
    chex.assert_type(values, jnp.bfloat16)
    chex.assert_trees_all_equal_shapes_and_dtypes(grads, stacked)
    chex.assert_tree_all_finite(grads)
    assert mlp.predict(params, batch[0]).dtype == jnp.bfloat16


def test_the_names_of_settings_are_static_under_jit():
    params, batch = draw((2, 3, 1), "mean_squared_error", 3, "float32")
    run = jax.jit(mlp.loss_and_grad, static_argnames=("activation", "loss"))
    value, _ = run(params, batch, activation="tanh", loss="mean_squared_error")
    assert np.isfinite(value)


def test_init_draws_what_it_says():
    params = mlp.init(jax.random.key(0), (5, 4, 3), initializer="glorot_uniform", dtype="bfloat16")
    assert [layer["w"].shape for layer in params] == [(5, 4), (4, 3)]
    chex.assert_type(jax.tree.leaves(params), jnp.bfloat16)
    for layer in params:
        np.testing.assert_array_equal(layer["b"], np.zeros(layer["w"].shape[1]))


@pytest.mark.parametrize("sizes", [(), (3,), (3, 0), (2, -1, 1)])
def test_init_refuses_sizes_that_are_no_network(sizes):
    with pytest.raises(ValueError, match="sizes must be at least two positive integers, got"):
        mlp.init(jax.random.key(0), sizes)


def test_unknown_names_are_refused():
    params, batch = draw((2, 1), "mean_squared_error", 3, "float32")
    with pytest.raises(ValueError, match="unknown initializer 'he'"):
        mlp.init(jax.random.key(0), (2, 1), initializer="he")
    for function in (mlp.loss, mlp.loss_and_grad):
        with pytest.raises(ValueError, match="unknown activation 'gleu'"):
            function(params, batch, activation="gleu")
        with pytest.raises(ValueError, match="unknown loss 'mse'"):
            function(params, batch, loss="mse")


def test_targets_that_would_broadcast_are_refused():
    params, (x, targets) = draw((2, 1), "mean_squared_error", 3, "float32")
    with pytest.raises(AssertionError):
        mlp.loss_and_grad(params, (x, targets[:, 0]), loss="mean_squared_error")
