import jax
import numpy as np
import pytest

from compare import check_gradients, problems
from compare.engines import torch_engine

pytestmark = pytest.mark.skipif(
    not torch_engine.installed(), reason="PyTorch is not installed: pip install 'handgrad[bench]'"
)
CLASSES = "softmax_cross_entropy_with_integer_labels"
MODELS = {
    "mlp": (problems.mlp((6, 5, 3), "relu", CLASSES), (6,), torch_engine.mlp_loss_and_grad),
    "cnn": (
        problems.cnn((6, 9, 2), (3, 4), 5, CLASSES),
        (6, 9, 2),
        torch_engine.cnn_loss_and_grad,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_computes_the_gradient_of_jax(name):
    model, example, steps = MODELS[name]
    rng = np.random.default_rng(0)
    params, state = model.init(jax.random.key(0))
    batch = rng.standard_normal((4, *example)).astype(np.float32), rng.integers(0, 3, 4)

    def candidate(params, state, batch, key):
        step, result = steps(params, batch)
        step()
        step()  # Gradients are set anew, not added to.
        value, grads = result()
        return (value, state), grads

    point = params, state, batch, jax.random.key(1)
    report = check_gradients(candidate, model.loss, *point, has_aux=True, jit=False)
    assert report.agree, report
