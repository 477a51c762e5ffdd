import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.articles import pitfalls
from compare.articles.blocked import (
    biases_summed_over_everything,
    in_blocks,
    scaled,
    train_in_blocks,
    turned,
)
from compare.articles.descent import METHODS
from compare.articles.signals import drawn
from compare.problems import mlp

SIZES = (5, 4, 3)
MODEL = mlp(SIZES, "relu", pitfalls.CLASSES)
RNG = np.random.default_rng(0)
PIXELS, Y = (
    jnp.asarray(RNG.integers(0, 256, (12, 5)), jnp.uint8),
    jnp.asarray(RNG.integers(0, 3, 12)),
)
X = scaled(PIXELS)
BLOCKS = PIXELS.reshape(3, 4, 5), Y.reshape(3, 4)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_block_by_block_is_the_gradient_over_all_rows(method):
    params, key = drawn(1, SIZES, 2.0), jax.random.key(0)
    (loss, _), grads = jax.jit(method(MODEL))(params, (), (X, Y), key)
    (got_loss, accuracy), got = jax.jit(in_blocks(method(MODEL), MODEL.predict))(
        turned(params), jnp.zeros(()), BLOCKS, key
    )
    np.testing.assert_allclose(got_loss, loss, rtol=1e-6)
    assert accuracy == np.mean(MODEL.predict(params, (), X).argmax(axis=1) == Y)
    for ours, want in zip(jax.tree.leaves(turned(got)), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-7)


def test_pixels_are_scaled_or_left():
    assert scaled(np.array([0, 51, 255], np.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert scaled(np.array([0, 51, 255], np.uint8), 1).tolist() == [0, 51, 255]


def test_the_published_bug_is_in_the_biases_alone():
    args = drawn(1, SIZES, 2.0), (), (X, Y), jax.random.key(0)
    _, right = MODEL.manual(*args)
    _, wrong = biases_summed_over_everything(MODEL.manual)(*args)
    for ours, want in zip(wrong, right, strict=True):
        np.testing.assert_array_equal(ours["w"], want["w"])
        np.testing.assert_allclose(ours["b"], np.full(len(want["b"]), want["b"].sum()))
        assert not np.allclose(ours["b"], want["b"])


def test_training_keeps_the_accuracy_of_every_step():
    params = turned(drawn(1, SIZES, 2.0))
    _, loss, accuracy = train_in_blocks(
        in_blocks(MODEL.manual, MODEL.predict), params, BLOCKS, 0.1, 20
    )
    assert loss.shape == accuracy.shape == (20,)
    assert loss[-1] < loss[0]


def test_log_of_zero_is_told_from_log_sum_exp():
    manual, autodiff = (pitfalls.log_of_zero(method) for method in METHODS.values())
    assert manual.holds
    assert autodiff.holds
    assert manual.values["slope"].tolist() == [-1, 1]
    assert np.isnan(autodiff.values["slope"]).any()
