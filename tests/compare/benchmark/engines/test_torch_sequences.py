from functools import partial

import jax
import jax.numpy as jnp
import pytest

from compare import check_gradients, problems
from compare.benchmark.engines import torch_base, torch_sequences

pytestmark = pytest.mark.skipif(
    not torch_base.installed(), reason="PyTorch is not installed: pip install 'handgrad[bench]'"
)
CLASSES = "softmax_cross_entropy_with_integer_labels"


def assert_agrees(steps, loss, params, batch):
    def candidate(params, batch):
        step, result = steps(params, batch)
        step()
        step()  # Gradients are set anew, not added to.
        return result()

    report = check_gradients(candidate, loss, params, batch, jit=False)
    assert report.agree, report


MODELS = {
    "rnn": (
        problems.recurrent("rnn", (4, 3), 5, 3, CLASSES),
        partial(torch_sequences.recurrent_loss_and_grad, cell="rnn"),
    ),
    "lstm": (
        problems.recurrent("lstm", (4, 3), 5, 3, CLASSES),
        partial(torch_sequences.recurrent_loss_and_grad, cell="lstm"),
    ),
    "transformer": (
        problems.transformer((8, 12), 32, 1, 3, CLASSES),
        partial(torch_sequences.transformer_loss_and_grad, heads=2),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_computes_the_gradient_of_jax(name):
    model, steps = MODELS[name]
    params, state, batch, key = model.draw_point(0, 4)
    assert_agrees(steps, lambda p, batch: model.loss(p, state, batch, key)[0], params, batch)


def test_it_computes_the_gradient_of_a_language_model():
    model = problems.language_model(11, 8, 1, 2, (2, 5))
    steps = partial(torch_sequences.transformer_loss_and_grad, heads=2, causal=True)
    assert_agrees(steps, model.loss, *model.draw(0))


def test_numbers_that_numpy_does_not_have_come_back():
    x = jnp.array([1.5, -2.25], jnp.bfloat16)
    tensor = torch_base.to_tensor(x)
    assert str(tensor.dtype) == "torch.bfloat16"
    back = torch_base.to_array(tensor)
    assert back.dtype == jnp.bfloat16
    assert jax.device_get(x).tolist() == back.tolist()
