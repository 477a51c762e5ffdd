from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compare import problems
from compare.training import metrics
from compare.training.steps import (
    epoch_order,
    init_state,
    make_epoch,
    make_evaluate,
    make_step,
    step_key,
)  # fmt: skip

ROWS, BATCH = 10, 4
"""Two full batches and one of two rows."""


def loss(params, model_state, batch, key):
    """A line through noise: what is random and what is counted has to reach the step."""
    x, y = batch
    noise = 0.1 * jax.random.normal(key)
    error = x @ params["w"] + params["b"] + noise - y
    return (error**2).mean(), {"seen": model_state["seen"] + len(x)}


gradient = jax.value_and_grad(loss, has_aux=True)


@pytest.fixture(scope="module")
def data():
    keys = jax.random.split(jax.random.key(1))
    return jax.random.normal(keys[0], (ROWS, 3)), jax.random.normal(keys[1], (ROWS,))


@pytest.fixture(scope="module")
def start():
    return init_state(
        {"w": jnp.ones(3), "b": jnp.zeros(())},
        {"seen": jnp.zeros((), jnp.int32)},
        optax.adam(0.1),
        jax.random.key(0),
    )


@pytest.fixture(scope="module")
def epoch():
    return make_epoch(gradient, optax.adam(0.1), BATCH)


def test_an_epoch_is_its_steps_in_order_and_the_rest_a_smaller_one(start, epoch, data):
    x, y = data
    after, losses = epoch(start, x, y)
    step = jax.jit(make_step(gradient, optax.adam(0.1)))
    state, expected = start, []
    for rows in jnp.split(epoch_order(start, ROWS), [4, 8]):
        state, value = step(state, (x[rows], y[rows]))
        expected.append(value)
    assert losses.shape == (3,)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    chex.assert_trees_all_close(after.params, state.params, rtol=1e-5)
    assert (after.step, after.model_state["seen"]) == (3, ROWS)


def test_every_epoch_has_an_order_of_its_own(start):
    first, again = epoch_order(start, 50), epoch_order(start, 50)
    later = epoch_order(start._replace(step=start.step + 13), 50)
    other = epoch_order(start._replace(key=jax.random.key(7)), 50)
    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() == again.tolist()
    assert len({tuple(order.tolist()) for order in (first, later, other)}) == 3


def test_every_step_has_a_key_of_its_own(start):
    keys = [step_key(start._replace(step=jnp.array(i))) for i in range(3)]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 3


def test_a_batch_larger_than_the_data_is_the_data(start, data):
    _, losses = make_epoch(gradient, optax.adam(0.1), 64)(start, *data)
    assert losses.shape == (1,)


def test_the_state_it_starts_from_stays(start, epoch, data):
    first, _ = epoch(start, *data)
    again, _ = epoch(start, *data)
    chex.assert_trees_all_equal(first.params, again.params)


def test_nothing_is_traced_after_the_first_epoch(start, data):
    chex.clear_trace_counter()

    @chex.assert_max_traces(n=2)  # the batches, and the smaller one
    def traced(*args):
        return gradient(*args)

    loss_and_grad: Any = traced
    epoch, state = make_epoch(loss_and_grad, optax.adam(0.1), BATCH), start
    for _ in range(4):
        state, _ = epoch(state, *data)
    assert state.step == 12


def test_memory_does_not_grow_over_50_epochs(start, epoch, data):
    state, _ = epoch(start, *data)
    before = sum(array.nbytes for array in jax.live_arrays())
    for _ in range(50):
        state, _ = epoch(state, *data)
    assert sum(array.nbytes for array in jax.live_arrays()) <= before
    assert epoch._cache_size() == 1


@pytest.mark.parametrize("method", ["manual", "autodiff"])
def test_it_learns_by_either_gradient(method):
    problem = problems.load("classification")
    model, data = problem.model, problem.data
    side = model.manual if method == "manual" else jax.value_and_grad(model.loss, has_aux=True)
    optimizer = optax.adam(1e-2)
    state = init_state(problem.params, problem.state, optimizer, problem.key)
    epoch = make_epoch(side, optimizer, 128)
    evaluate = make_evaluate(model.predict, model.criterion, 128)
    point = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    _, before = evaluate(state.params, state.model_state, *point)
    for _ in range(30):
        state, _ = epoch(state, *point)
    _, accuracy = evaluate(state.params, state.model_state, *point)
    assert before < 0.6
    assert accuracy > 0.9


@pytest.mark.parametrize("batch_size", [ROWS, 4, 3, 64])
def test_evaluation_is_the_mean_over_all_rows(batch_size):
    keys = jax.random.split(jax.random.key(2))
    logits = jax.random.normal(keys[0], (ROWS, 3))
    labels = jax.random.randint(keys[1], (ROWS,), 0, 3)
    name = "softmax_cross_entropy_with_integer_labels"
    evaluate = make_evaluate(lambda params, state, x: params * x, name, batch_size)
    loss, accuracy = evaluate(2.0, (), logits, labels)
    per_row = optax.losses.softmax_cross_entropy_with_integer_labels(2 * logits, labels)
    np.testing.assert_allclose(loss, per_row.mean(), rtol=1e-6)
    np.testing.assert_allclose(accuracy, metrics.correct(logits, labels).mean(), rtol=1e-6)
