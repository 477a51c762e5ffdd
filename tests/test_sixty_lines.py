"""The published network `sixty-lines`: its bias gradients are wrong, and training hides it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from autodiff import mlp
from compare import check_gradients
from compare.datasets import mnist

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"


@pytest.fixture(scope="module")
def point():
    """784-10-10 and a batch of MNIST: full where it is, else the subset."""
    data = mnist.load(MNIST) if MNIST.is_dir() else mnist.load(dataset="mnist5k")
    params = mlp.init(jax.random.key(0), (784, 10, 10))
    return params, (data.x_train[:500], data.y_train[:500])


def published(params, batch, *, bias_gradient):
    """The article's backward pass, with rows as examples."""
    x, labels = batch
    (w1, b1), (w2, b2) = ((layer["w"], layer["b"]) for layer in params)
    m = len(x)
    z1 = x @ w1 + b1
    a1 = jnp.maximum(z1, 0)
    a2 = jax.nn.softmax(a1 @ w2 + b2)
    one_hot = jnp.eye(10, dtype=x.dtype)[labels]
    loss = -jnp.log((a2 * one_hot).sum(axis=1)).mean()
    dz2 = a2 - one_hot
    dz1 = dz2 @ w2.T * (z1 > 0)
    return loss, [
        {"w": x.T @ dz1 / m, "b": bias_gradient(dz1) / m},
        {"w": a1.T @ dz2 / m, "b": bias_gradient(dz2) / m},
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_published_bias_gradients_are_wrong_at_exactly_the_two_bias_leaves(point, dtype):
    def as_published(params, batch):
        return published(params, batch, bias_gradient=lambda dz: jnp.full(10, dz.sum()))

    report = check_gradients(as_published, mlp.loss, *point, dtype=dtype)
    assert report.verdict == "manual_wrong"
    assert [leaf.path for leaf in report.leaves if not leaf.agrees] == ["0/b", "1/b"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_summed_over_the_examples_they_agree(point, dtype):
    def mended(params, batch):
        return published(params, batch, bias_gradient=lambda dz: dz.sum(axis=0))

    report = check_gradients(mended, mlp.loss, *point, dtype=dtype)
    assert report.agree, report
