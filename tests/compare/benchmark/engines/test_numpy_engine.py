import jax
import numpy as np
import pytest

from compare import check_gradients, problems
from compare.benchmark.engines.numpy_engine import mlp_loss_and_grad

MODEL = problems.mlp((6, 5, 4, 3), "relu", "softmax_cross_entropy_with_integer_labels")


@pytest.fixture(scope="module")
def point():
    rng = np.random.default_rng(0)
    params, state = MODEL.init(jax.random.key(0))
    batch = rng.standard_normal((7, 6)).astype(np.float32), rng.integers(0, 3, 7)
    return params, state, batch, jax.random.key(1)


def candidate(params, state, batch, key):
    value, grads = mlp_loss_and_grad(*jax.device_get((params, batch)))
    return (value, state), grads


def test_it_computes_the_gradient_of_jax(point):
    report = check_gradients(candidate, MODEL.loss, *point, has_aux=True, jit=False)
    assert report.agree, report
