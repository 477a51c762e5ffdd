"""What the tests of the recurrent rules share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

BATCH, TIME, N_IN, N = 4, 3, 2, 5


def _draw(gates, extra=(), states=1, time=TIME, batch=BATCH):
    """Inputs of a recurrent layer: x, its states, W, U, b and biases of n numbers."""
    rng = np.random.default_rng(gates)
    shapes = [(batch, time, N_IN), *[(batch, N)] * states, (N_IN, gates * N), (N, gates * N)]
    shapes += [(gates * N,), *extra]
    return tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)


def _padding_is_left_out(rule, inputs, lengths):
    """Padded steps change nothing and have no gradient; the second example has no step at all."""
    x, *others = inputs
    padded = (np.arange(TIME) >= np.asarray(lengths)[:, None])[..., None]

    def loss(x, *others):
        every, *last = rule(x, *others, lengths)
        return jnp.sum(every**2) + sum(jnp.sum(jnp.cos(a)) for a in last)

    both = jax.jit(jax.value_and_grad(loss))
    value, dx = both(x, *others)
    assert not np.where(padded, dx, 0).any()
    assert np.any(dx)
    changed = np.where(padded, np.float32(1e6), x)
    np.testing.assert_array_equal(both(changed, *others)[0], value)
    every, last = rule(x, *others, lengths)[:2]
    np.testing.assert_array_equal(every[:, -1], last)
    np.testing.assert_array_equal(last[1], others[0][1])


@pytest.fixture
def draw():
    return _draw


@pytest.fixture
def assert_padding_is_left_out():
    return _padding_is_left_out
