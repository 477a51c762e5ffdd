import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import problems

MODELS = [m for problem in problems.PROBLEMS.values() for m in problem.models]


@pytest.mark.table
@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.name} {m.settings}")
def test_a_model_takes_the_batch_that_it_draws(model):
    params, state, (x, targets), key = model.draw_point(0, 3)
    assert x.shape == (3, *model.example.x.shape)
    assert targets.shape == (3, *model.example.target.shape)
    assert targets.dtype == model.example.target.dtype
    loss, _ = jax.jit(model.loss)(params, state, (x, targets), key)
    assert np.isfinite(loss)
    np.testing.assert_allclose(model.draw(0, 3)[0], x)
    assert not np.array_equal(model.draw(1, 3)[0], x)


def test_class_numbers_and_zeros_and_ones():
    _, labels = problems.mlp((2, 10), "relu", "softmax_cross_entropy_with_integer_labels").draw(
        0, 99
    )
    assert labels.dtype == jnp.int32
    assert set(np.unique(labels)) == set(range(10))
    _, ones = problems.mlp((2, 1), "relu", "sigmoid_binary_cross_entropy").draw(0, 20)
    assert ones.dtype == jnp.float32
    assert set(np.unique(ones)) == {0, 1}


def test_a_sequence_is_batch_time_features():
    example = problems.Example(
        jax.ShapeDtypeStruct((7, 3), jnp.float32), jax.ShapeDtypeStruct((7,), jnp.int32), 5
    )
    x, targets = example.draw(0, 4)
    assert x.shape == (4, 7, 3)
    assert targets.shape == (4, 7)
    assert int(targets.max()) == 4
