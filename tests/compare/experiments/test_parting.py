import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from compare.experiments.parting import is_defect, state_before
from compare.training.steps import epoch_order, init_state, make_step

ROWS, BATCH = 10, 4
X = jax.random.normal(jax.random.key(1), (ROWS, 3))
Y = jax.random.normal(jax.random.key(2), (ROWS,))
ADAM = optax.adam(0.1)


def loss(params, model_state, batch, key):
    x, y = batch
    return ((jnp.tanh(x @ params["w"]) - y) ** 2).mean(), model_state


gradient = jax.value_and_grad(loss, has_aux=True)


def scaled(factor):
    def manual(*args):
        value, grads = gradient(*args)
        return value, jax.tree.map(lambda g: g * factor, grads)

    return manual


def cancelling(*args):
    """Right, but for the digits that float32 loses beside a large number."""
    value, grads = gradient(*args)
    return value, jax.tree.map(lambda g: jax.lax.optimization_barrier(g + 1e5) - 1e5, grads)


@pytest.fixture(scope="module")
def start():
    return init_state({"w": jnp.full(3, 0.5)}, (), ADAM, jax.random.key(0))


@pytest.mark.parametrize("step", [1, 3, 4, 8])
def test_the_state_before_a_step_is_that_of_the_steps_before_it(start, step):
    take = jax.jit(make_step(gradient, ADAM))
    state = before = start
    order = rows = epoch_order(state, ROWS)
    for number in range(step):
        if number % 3 == 0:
            order = epoch_order(state, ROWS)
        rows = order[BATCH * (number % 3) :][:BATCH]
        before, state = state, take(state, (X[rows], Y[rows]))[0]
    found, (x, y), (other, _) = state_before(step, gradient, ADAM, start, (X, Y), BATCH)
    assert found.step == step - 1
    chex.assert_trees_all_close(found.params, before.params, rtol=1e-5)
    assert (x == X[rows]).all()
    assert (y == Y[rows]).all()
    assert other.shape != x.shape or (other != x).any()


def test_an_epoch_of_one_batch_has_no_other(start):
    _, (x, _), (other, _) = state_before(3, gradient, ADAM, start, (X, Y), 64)
    assert (x == other).all()


@pytest.mark.parametrize(
    ("manual", "defect"),
    [(gradient, False), (scaled(1.001), True), (cancelling, True)],
    ids=["right", "0.1% wrong", "right in float64 alone"],
)
def test_the_gradients_decide(start, manual, defect):
    batch, other = (X[:4], Y[:4]), (X[4:8], Y[4:8])
    assert is_defect(manual, loss, start, batch, other) is defect
