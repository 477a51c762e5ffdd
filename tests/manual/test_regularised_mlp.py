import functools
from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import regularised_mlp as autodiff_regularised_mlp
from compare import check_gradients
from manual import mlp, regularised_mlp
from manual.rules import losses

SIZES = (5, 6, 4, 3)
SETTINGS = {
    "rate": 0.3,
    "momentum": 0.8,
    "epsilon": 1e-3,
    "loss": "softmax_cross_entropy_with_integer_labels",
}
KEY = jax.random.key(3)
# One pair of functions for all tests: what is compiled for a shape and dtype is used again.
RUN = functools.partial(regularised_mlp.loss_and_grad, **SETTINGS)
REFERENCE = functools.partial(autodiff_regularised_mlp.loss, **SETTINGS)


def draw(sizes=SIZES, batch=7, dtype="float32", seed=0):
    """Random biases, scales and running statistics: zeros and ones would hide theirs."""
    rng = np.random.default_rng(seed)
    params = [
        {
            "w": rng.standard_normal((n_in, n_out)) / np.sqrt(n_in),
            **{name: rng.standard_normal(n_out) for name in ("b", "scale", "bias")},
        }
        for n_in, n_out in pairwise(sizes)
    ]
    for name in ("scale", "bias"):
        del params[-1][name]
    state = [{"mean": rng.standard_normal(n), "var": rng.uniform(0.5, 2, n)} for n in sizes[1:-1]]
    params, state, x = jax.tree.map(
        lambda a: jnp.asarray(a, dtype), (params, state, rng.standard_normal((batch, sizes[0])))
    )
    return params, state, (x, jnp.asarray(rng.integers(0, sizes[-1], batch)))


def assert_agrees(params, state, batch, dtype=None):
    report = check_gradients(RUN, REFERENCE, params, state, batch, KEY, has_aux=True, dtype=dtype)
    assert report.agree, report


# check_gradients asks about float64 first, whatever dtype it is given, and compares the state too.
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loss_gradient_and_state_are_those_of_jax_grad(dtype):
    assert_agrees(*draw(), dtype=dtype)


def test_one_row_has_no_variance():
    params, state, batch = draw(batch=1)
    assert_agrees(params, state, batch)
    (_, new_state), grads = jax.jit(RUN)(params, state, batch, KEY)
    # ẑ = β whatever the input: nothing but β and the last layer learns.
    for layer in grads[:-1]:
        for name in ("w", "b", "scale"):
            np.testing.assert_array_equal(layer[name], np.zeros_like(layer[name]))
    for old, new in zip(state, new_state, strict=True):
        np.testing.assert_array_equal(new["var"], np.float32(0.8) * old["var"])


def constant_channel(params, x):
    """The second channel is its bias in every row: its variance is 0."""
    params[0]["w"] = params[0]["w"].at[:, 1].set(0)
    return params, x


def constant_inputs(params, x):
    return params, jnp.zeros_like(x).at[:].set(x[0])


def never_positive(params, x):
    """The third unit's ReLU is off in every row, all of the second layer's too."""
    params[0]["bias"] = params[0]["bias"].at[2].set(-100)
    params[1] |= {"scale": 0 * params[1]["scale"], "bias": -jnp.abs(params[1]["bias"])}
    return params, x


def at_the_kink(params, x):
    """Every ẑ of the first layer is exactly 0."""
    params[0] |= {"scale": 0 * params[0]["scale"], "bias": 0 * params[0]["bias"]}
    return params, x


@pytest.mark.parametrize("change", [constant_channel, constant_inputs, never_positive, at_the_kink])
def test_dead_units_and_constant_channels(change):
    params, state, (x, labels) = draw()
    params, x = change(params, x)
    assert_agrees(params, state, (x, labels))


def test_a_unit_that_is_never_positive_gets_no_gradient():
    params, state, (x, labels) = draw()
    params, x = never_positive(params, x)
    _, grads = jax.jit(RUN)(params, state, (x, labels), KEY)
    chex.assert_trees_all_equal(grads[:2], jax.tree.map(jnp.zeros_like, params[:2]))


def test_the_bias_before_a_normalisation_has_gradient_zero_and_raises_no_alarm():
    point = *draw(), KEY
    report = check_gradients(RUN, REFERENCE, *point, has_aux=True)
    assert {"0/b", "1/b"} <= {leaf.path for leaf in report.leaves if leaf.agrees}
    _, grads = jax.jit(RUN)(*point)
    _, by_jax = jax.jit(jax.value_and_grad(REFERENCE, has_aux=True))(*point)
    for own, layer in zip(grads[:-1], by_jax, strict=False):
        np.testing.assert_array_equal(own["b"], np.zeros_like(own["b"]))
        assert np.any(layer["b"]), "jax.grad is left with the rounding of a sum"


def test_jax_composes_the_same_rules():
    point = *draw((3, 4, 2), batch=3), KEY
    composed = functools.partial(regularised_mlp.loss, **SETTINGS)
    got = jax.jit(RUN)(*point)
    want = jax.jit(jax.value_and_grad(composed, has_aux=True))(*point)
    # The sum that vanishes is taken by JAX alone; of the rest not even the last bit differs.
    np.testing.assert_array_equal(got[1][0].pop("b"), np.zeros(4))
    want[1][0].pop("b")
    chex.assert_trees_all_equal(got, want, strict=True)


def test_inference_with_the_batchs_own_statistics_is_training_without_dropout(assert_rounds_to):
    params, state, (x, labels) = draw()
    settings = SETTINGS | {"rate": 0.0, "momentum": 0.0}
    run = jax.jit(functools.partial(regularised_mlp.loss, **settings))
    value, statistics = run(params, state, (x, labels), KEY)
    logits = jax.jit(functools.partial(regularised_mlp.predict, epsilon=SETTINGS["epsilon"]))(
        params, statistics, x
    )
    per_batch = losses.by_name(SETTINGS["loss"])(logits, labels)
    # Each layer multiplies what it is given by ‖w‖ γ/σ at most, in n_in + 5 roundings.
    size = np.abs(np.asarray(x)).max()
    for layer, own in zip(params, statistics, strict=False):
        gain = np.abs(layer["scale"]).max() / np.sqrt(np.asarray(own["var"])).min()
        size = gain * (np.abs(layer["w"]).sum(axis=0).max() * size + 1) + 3
    roundings = 2 * sum(n + 5 for n in SIZES)
    assert_rounds_to(value, per_batch, roundings=roundings, scale=2 * size)


def test_jit_vmap_and_bfloat16_with_a_key_for_each():
    params, state, batch = draw(dtype="bfloat16")
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params)
    run = jax.jit(jax.vmap(RUN, (0, None, None, 0)))
    (values, states), grads = run(stacked, state, batch, jax.random.split(KEY))
    chex.assert_shape(values, (2,))
    chex.assert_type(values, jnp.bfloat16)
    assert values[0] != values[1], "the masks differ"
    chex.assert_trees_all_equal_shapes_and_dtypes(grads, stacked)
    chex.assert_tree_all_finite(grads)
    first = jax.tree.map(lambda leaf: leaf[0], states)
    chex.assert_trees_all_equal_shapes_and_dtypes(first, state)


def test_without_a_hidden_layer_it_is_the_plain_perceptron():
    params, state, batch = draw((3, 2), batch=4)
    (value, new_state), grads = RUN(params, state, batch, KEY)
    want = mlp.loss_and_grad(params, batch, loss=SETTINGS["loss"])
    assert state == new_state == []
    chex.assert_trees_all_equal((value, grads), want)
    np.testing.assert_array_equal(
        regularised_mlp.predict(params, state, batch[0]), mlp.predict(params, batch[0])
    )


def test_init_draws_what_it_says():
    params, state = regularised_mlp.init(
        jax.random.key(0), (5, 4, 3), initializer="glorot_uniform", dtype="bfloat16"
    )
    assert [layer["w"].shape for layer in params] == [(5, 4), (4, 3)]
    chex.assert_type(jax.tree.leaves((params, state)), jnp.bfloat16)
    ones, zeros = jnp.ones(4, "bfloat16"), jnp.zeros(4, "bfloat16")
    hidden = {name: params[0][name] for name in ("b", "scale", "bias")}
    chex.assert_trees_all_equal(hidden, {"b": zeros, "scale": ones, "bias": zeros})
    assert params[1].keys() == {"w", "b"}
    chex.assert_trees_all_equal(state, [{"mean": zeros, "var": ones}])


@pytest.mark.parametrize("sizes", [(), (3,), (3, 0), (2, -1, 1)])
def test_init_refuses_sizes_that_are_no_network(sizes):
    with pytest.raises(ValueError, match="sizes must be at least two positive integers, got"):
        regularised_mlp.init(jax.random.key(0), sizes)


@pytest.mark.parametrize("function", [regularised_mlp.loss, regularised_mlp.loss_and_grad])
def test_wrong_settings_are_refused(function):
    point = *draw((2, 3, 2), batch=3), KEY
    for settings, message in [
        ({"loss": "mse"}, "unknown loss 'mse'"),
        ({"rate": 1.0}, r"dropout's rate must be in \[0, 1\), got 1.0"),
        ({"momentum": 1.5}, r"momentum must be between 0 and 1, got 1\.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(functools.partial(function, **(SETTINGS | settings)), *point)
    with pytest.raises(ValueError, match="unknown initializer 'he'"):
        regularised_mlp.init(jax.random.key(0), (2, 1), initializer="he")


def test_targets_that_would_broadcast_are_refused():
    params, state, (x, _) = draw((2, 3, 1), batch=3)
    run = functools.partial(regularised_mlp.loss_and_grad, loss="mean_squared_error")
    with pytest.raises(AssertionError):
        jax.eval_shape(run, params, state, (x, jnp.ones(3)), KEY)
