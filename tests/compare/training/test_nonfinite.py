import jax
import jax.numpy as jnp
import optax
import pytest

from compare.training.nonfinite import all_finite, make_replay
from compare.training.steps import init_state

DATA = jnp.zeros((10, 1)), jnp.zeros(10)


def counting(poison):
    """A gradient under which `count` is the number of the step; `poison(count)` does the harm."""

    def loss_and_grad(params, model_state, batch, key):
        loss, grad = poison(params["count"])
        return (loss, model_state), {"a": jnp.full(2, grad), "count": jnp.array(-1.0)}

    return loss_and_grad


@pytest.mark.parametrize(
    ("poison", "leaf", "fault"),
    [
        (lambda n: (n, jnp.where(n == 3, jnp.nan, 1.0)), "a", "a: the gradient has 2 of 2 entries"),
        (lambda n: (jnp.where(n == 3, jnp.inf, n), 1.0), "loss", "loss: the loss has 1 of 1"),
        (lambda n: (n, jnp.where(n == 3, -3e38, 1.0)), "a", "a: the update has 2 of 2 entries"),
    ],
    ids=["gradient", "loss", "update"],
)
def test_the_step_the_leaf_and_the_learning_rate_are_named(poison, leaf, fault):
    optimizer = optax.chain(optax.sgd(1.0), optax.scale_by_learning_rate(-1.0))
    state = init_state(
        {"a": jnp.full(2, 3e38), "count": jnp.array(0.0)}, (), optimizer, jax.random.key(0)
    )
    replay = make_replay(counting(poison), optimizer, lambda opt_state, step: 0.5 + step, 2)
    last, found = replay(state, *DATA)
    assert found is not None
    assert (found.step, found.leaf, found.learning_rate) == (4, leaf, 3.5)
    assert found.faults[0].startswith(fault)
    assert (last.step, last.params["count"]) == (3, 3)
    assert all_finite(last)


def test_nothing_to_find():
    optimizer = optax.sgd(1.0)
    state = init_state(
        {"a": jnp.ones(2), "count": jnp.array(0.0)}, (), optimizer, jax.random.key(0)
    )
    replay = make_replay(counting(lambda n: (n, 1.0)), optimizer, lambda *_: 1.0, 3)
    last, found = replay(state, *DATA)
    assert found is None
    assert last.step == 4


def test_keys_and_numbers_of_steps_are_always_finite():
    assert all_finite({"key": jax.random.key(0), "step": jnp.array(2), "x": jnp.ones(2)})
    assert not all_finite({"step": jnp.array(2), "x": jnp.array([1.0, jnp.inf])})
