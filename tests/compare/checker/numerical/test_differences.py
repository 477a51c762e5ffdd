"""Central differences: as many steps as are needed, and an error bar that is one."""

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.numerical.differences import central_differences, zeros
from tests.compare.checker.numerical.point import W, X


def kinked(leaves, constants):
    return jnp.sum(jax.nn.relu(constants[0] @ leaves[0]) ** 2)


def test_it_asks_no_further_than_is_enough():
    """Each step is two runs of the loss: two steps where they are enough, else ten."""
    runs = []

    def counted(leaves, constants):
        jax.debug.callback(lambda: runs.append(1))
        return kinked(leaves, constants)

    derivative = central_differences(counted)
    direction = {"w": np.ones_like(W["w"])}
    exact, seen = float(jnp.sum(jax.grad(kinked)([W["w"]], [X])[0])), {}
    for enough in (1e-3, 0.0):
        runs.clear()
        value, error = derivative(W, [X], direction, enough)
        jax.effects_barrier()
        assert abs(value - exact) <= error <= 1e-3
        seen[enough] = len(runs)
    assert seen == {1e-3: 4, 0.0: 20}


def test_zeros_are_in_the_shape_of_another_array():
    assert zeros(X, np.float32).tolist() == np.zeros_like(X).tolist()
