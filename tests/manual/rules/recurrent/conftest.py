"""What the tests of the recurrent rules share."""

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


@pytest.fixture
def draw():
    return _draw
