"""Every rule and its backward pass lower for every platform, without the hardware."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from compare.problems.rules import RULES
from manual import rules

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
IMAGE = (2, 6, 5, 4)


def floats(*shapes):
    return lambda seed: [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]


# The smallest of each, and settings that the table of rules does not have.
CASES = {
    problem.name: (problem.rule, problem.draw) for problem in reversed(RULES)
} | {
    "conv2d with strides": (rules.conv2d.bind(stride=(2, 1)), floats(IMAGE, (3, 2, 4, 3), (3,))),
    "depthwise": (
        rules.conv2d.bind(groups=4, dilation=(1, 2)), floats(IMAGE, (3, 2, 1, 4), (4,))
    ),
    "overlapping max_pool": (
        rules.max_pool.bind(window=(3, 3), stride=(2, 2), padding="SAME"), floats(IMAGE)
    ),
}  # fmt: skip


@pytest.mark.table
@pytest.mark.parametrize("name", CASES)
def test_forwards_and_backwards(name):
    rule, draw = CASES[name]

    def step(*xs):
        y, vjp = jax.vjp(rule, *xs)
        return y, vjp(y)

    exported = export.export(jax.jit(step), platforms=PLATFORMS)(*draw(0))
    assert exported.platforms == PLATFORMS
