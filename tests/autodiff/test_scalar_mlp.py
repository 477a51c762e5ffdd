"""The third opinion: manual and `jax.grad` against an engine that shares nothing with either."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import autodiff.mlp
import manual.mlp
from autodiff import scalar_mlp
from compare.datasets import mnist5k, xor

BINARY, CLASSES = "sigmoid_binary_cross_entropy", "softmax_cross_entropy_with_integer_labels"


def xor_point():
    data = xor.load()
    return (2, 4, 1), (data.x_train, data.y_train), BINARY


@functools.cache
def mnist_point():
    """Sixteen pixels of a few real digits."""
    data = mnist5k.load()
    pixels = data.x_train[:6].reshape(-1, 28, 28)[:, 10:18:2, 10:18:2]
    return (16, 5, 10), (pixels.reshape(-1, 16), data.y_train[:6]), CLASSES


@pytest.mark.parametrize(
    ("point", "activation"),
    [
        (xor_point, "leaky_relu"), (xor_point, "relu"), (xor_point, "sigmoid"),
        (mnist_point, "tanh"),
    ],
)  # fmt: skip
def test_three_engines_agree(point, activation):
    sizes, (x, targets), loss = point()
    # Biases are zero: XOR's first row is at the kink of both rectifiers.
    params = scalar_mlp.init(3, sizes)
    value, grads = scalar_mlp.loss_and_grad(
        params, (x.tolist(), targets.tolist()), activation=activation, loss=loss
    )
    with jax.enable_x64(True):
        arrays = [{n: jnp.array(v, "float64") for n, v in layer.items()} for layer in params]
        wide = jnp.asarray(x, "float64"), jnp.asarray(targets)
        if loss == BINARY:
            wide = wide[0], wide[1].astype("float64")
        for side in (manual.mlp, autodiff.mlp):
            gradient = functools.partial(side.loss_and_grad, activation=activation, loss=loss)
            theirs, their_grads = jax.jit(gradient)(arrays, wide)
            # Float64, and sums of at most 16 terms of size 1: 1e-13 is far above their rounding.
            np.testing.assert_allclose(value, theirs, atol=1e-13)
            for own, other in zip(grads, their_grads, strict=True):
                assert own.keys() == other.keys()
                for name in own:
                    np.testing.assert_allclose(own[name], other[name], rtol=0, atol=1e-13)


def test_logits_are_those_of_the_idiom():
    sizes, (x, _), _ = xor_point()
    params = scalar_mlp.init(0, sizes)
    logits = scalar_mlp.predict(scalar_mlp.values(params), x.tolist(), activation="tanh")
    arrays = [{name: jnp.array(leaf) for name, leaf in layer.items()} for layer in params]
    np.testing.assert_allclose(
        [[value.data for value in row] for row in logits],
        autodiff.mlp.predict(arrays, jnp.asarray(x), activation="tanh"),
        rtol=1e-5,
    )


def test_it_learns_xor():
    sizes, (x, y), loss = xor_point()
    params, batch = scalar_mlp.init(0, sizes), (x.tolist(), y.tolist())
    value = float("inf")
    for _ in range(400):
        value, grads = scalar_mlp.loss_and_grad(params, batch, activation="tanh", loss=loss)
        for layer, grad in zip(params, grads, strict=True):
            layer["b"] = [b - g for b, g in zip(layer["b"], grad["b"], strict=True)]
            layer["w"] = [
                [w - g for w, g in zip(*rows, strict=True)]
                for rows in zip(layer["w"], grad["w"], strict=True)
            ]
    assert value < 0.02


def test_what_does_not_exist_is_refused_with_what_there_is():
    params = scalar_mlp.init(0, (2, 1))
    with pytest.raises(ValueError, match="unknown activation 'gelu'; choose from identity"):
        scalar_mlp.loss_and_grad(params, ([[0.0, 1.0]], [[1.0]]), activation="gelu")
    with pytest.raises(ValueError, match="unknown loss 'hinge'; choose from sigmoid"):
        scalar_mlp.loss_and_grad(params, ([[0.0, 1.0]], [[1.0]]), loss="hinge")
    with pytest.raises(ValueError, match="at least two positive integers"):
        scalar_mlp.init(0, (2,))
