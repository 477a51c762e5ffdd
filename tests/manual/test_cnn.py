import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import cnn as autodiff_cnn
from compare import check_gradients
from manual import cnn
from manual.rules import (
    conv2d,
    dense,
    flatten,
    max_pool,
    relu,
    softmax_cross_entropy_with_integer_labels,
)

IMAGE, CHANNELS, N_OUT = (7, 9, 2), (3, 4), 5
"""Odd sizes, of which the poolings leave out rows and columns: 7×9, 3×4, 1×2."""


def draw(batch=3, image=IMAGE, channels=CHANNELS, n_out=N_OUT, dtype="float32", seed=0):
    """Parameters with random biases, because zero ones would hide theirs from the tests."""
    rng = np.random.default_rng(seed)
    like = jax.eval_shape(lambda: cnn.init(jax.random.key(0), image, channels, n_out))
    params = jax.tree.map(
        lambda p: jnp.asarray(rng.standard_normal(p.shape) / np.sqrt(np.prod(p.shape[:-1])), dtype),
        like,
    )
    x = jnp.asarray(rng.standard_normal((batch, *image)), dtype)
    return params, (x, jnp.asarray(rng.integers(0, n_out, batch)))


def assert_agrees(params, batch, dtype=None):
    report = check_gradients(cnn.loss_and_grad, autodiff_cnn.loss, params, batch, dtype=dtype)
    assert report.agree, report


# check_gradients asks about float64 first, whatever dtype it is given.
# An even number of images is pooled in two halves.
@pytest.mark.parametrize(("dtype", "batch"), [("float32", 4), ("bfloat16", 3)])
def test_loss_and_gradient_are_those_of_jax_grad(dtype, batch):
    assert_agrees(*draw(batch), dtype=dtype)


def test_one_image_that_is_pooled_to_one_pixel():
    assert_agrees(*draw(batch=1, image=(4, 5, 1), channels=(2, 3)))


def blank(params, x):
    """Every z is its bias: each window is a tie, of a positive number or of a negative one."""
    return params, jnp.zeros_like(x)


def blank_without_biases(params, x):
    """Every z is 0: each window is a tie on the kink of ReLU."""
    for layer in params:
        layer["b"] = jnp.zeros_like(layer["b"])
    return params, jnp.zeros_like(x)


def patches(params, x):
    """Constant patches, as in a drawing: ties inside of them."""
    rows, columns = (np.arange(n) // 4 for n in x.shape[1:3])
    return params, x[:, rows][:, :, columns]


def negative_patches(params, x):
    """The first stage passes its own patches on, negative ones too, as 0."""
    centre = jnp.zeros_like(params[0]["w"]).at[1, 1].set(1)
    params[0] = {"w": centre, "b": jnp.asarray([0.0, -0.5, 0.5])}
    return patches(params, x)


@pytest.mark.parametrize("change", [blank, blank_without_biases, patches, negative_patches])
def test_ties_of_pooling_and_relu(change):
    params, (x, labels) = draw()
    params, x = change(params, x)
    assert_agrees(params, (x, labels))


def test_a_channel_that_is_never_positive_gets_no_gradient():
    params, batch = draw()
    params[0]["b"] = params[0]["b"].at[1].set(-100)
    assert_agrees(params, batch)
    _, grads = jax.jit(cnn.loss_and_grad)(params, batch)
    np.testing.assert_array_equal(grads[0]["w"][..., 1], np.zeros((3, 3, 2)))
    assert grads[0]["b"][1] == 0
    np.testing.assert_array_equal(grads[1]["w"][:, :, 1], np.zeros((3, 3, 4)))


def delta_of_first_stage(params, batch):
    """∂L/∂z of the first convolution."""
    (first, *rest), (x, labels) = params, batch

    def loss(z):
        a = relu(max_pool(z))
        for layer in rest[:-1]:
            a = relu(max_pool(conv2d(a, layer["w"], layer["b"])))
        logits = dense(flatten(a), rest[-1]["w"], rest[-1]["b"])
        return softmax_cross_entropy_with_integer_labels(logits, labels)

    return jax.grad(loss)(conv2d(x, first["w"], first["b"]))


def test_jax_composes_the_same_rules(assert_rounds_to):
    params, batch = draw(batch=2, image=(4, 5, 2), channels=(3,), n_out=2)
    got = jax.jit(cnn.loss_and_grad)(params, batch)
    want = jax.jit(jax.value_and_grad(cnn.loss))(params, batch)
    # The same operations in the same order, but for one sum: `loss_and_grad` adds the bias's terms
    # up before the zeros of the unpooled gradient stand between them.
    delta = np.asarray(delta_of_first_stage(params, batch))
    assert_rounds_to(
        got[1][0].pop("b"),
        want[1][0].pop("b"),
        roundings=delta[..., 0].size,
        scale=np.abs(delta).sum(axis=(0, 1, 2)),
    )
    # Of those not even the last bit differs.
    chex.assert_trees_all_equal(got, want, strict=True)


def test_jit_vmap_and_bfloat16():
    params, batch = draw(batch=2, image=(5, 4, 1), channels=(2,), n_out=3, dtype="bfloat16")
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    values, grads = jax.jit(jax.vmap(cnn.loss_and_grad, (0, None)))(stacked, batch)
    chex.assert_shape(values, (2,))
    chex.assert_type(values, jnp.bfloat16)
    chex.assert_trees_all_equal_shapes_and_dtypes(grads, stacked)
    chex.assert_tree_all_finite(grads)
    assert jax.eval_shape(cnn.predict, params, batch[0]).dtype == jnp.bfloat16


def test_init_draws_what_it_says():
    params = cnn.init(
        jax.random.key(0), IMAGE, CHANNELS, N_OUT, initializer="glorot_uniform", dtype="bfloat16"
    )
    shapes = [layer["w"].shape for layer in params]
    assert shapes == [(3, 3, 2, 3), (3, 3, 3, 4), (1 * 2 * 4, 5)]
    chex.assert_type(jax.tree.leaves(params), jnp.bfloat16)
    for layer in params:
        np.testing.assert_array_equal(layer["b"], np.zeros(layer["w"].shape[-1]))


def test_wrong_names_and_targets_are_refused():
    params, (x, labels) = draw(batch=2, image=(2, 2, 1), channels=(2,), n_out=1)
    for function in (cnn.loss, cnn.loss_and_grad):
        with pytest.raises(ValueError, match="unknown loss 'mse'"):
            function(params, (x, labels), loss="mse")
        run = functools.partial(function, loss="mean_squared_error")
        with pytest.raises(AssertionError):
            jax.eval_shape(run, params, (x, jnp.ones(2)))
