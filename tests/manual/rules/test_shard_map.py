"""Every rule is differentiated inside `shard_map`, with the examples split and the rest shared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from compare.problems.rules import RULES
from manual import rules

SPLIT, SHARED = PartitionSpec("data"), PartitionSpec()


def floats(*shapes):
    return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)


# The smallest of each, and sizes that the CPU takes in blocks.
CASES = {problem.name: (problem.rule, problem.draw(0)) for problem in reversed(RULES)} | {
    "conv2d in blocks": (rules.conv2d, floats((100, 28, 28, 3), (3, 3, 3, 4), (4,))),
    "layer_norm in blocks": (rules.layer_norm, floats((512, 512), (512,), (512,))),
    "rms_norm in blocks": (rules.rms_norm, floats((512, 512), (512,))),
}


def split(f, specs):
    """The sum of f over one device; what varies and what does not is the same over many."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

    def total(*inputs):
        return jax.lax.psum(sum(out.sum() for out in jax.tree.leaves(f(*inputs))), "data")

    return jax.shard_map(total, mesh=mesh, in_specs=specs, out_specs=SHARED)


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_has_the_shape_of_its_input(name):
    rule, inputs = CASES[name]
    largest = max(x.size for x in inputs)
    specs = tuple(SPLIT if x.size == largest else SHARED for x in inputs)
    floating = [i for i, x in enumerate(inputs) if jnp.issubdtype(x.dtype, jnp.floating)]
    grads = jax.eval_shape(jax.grad(split(rule, specs), argnums=floating), *inputs)
    assert [g.shape for g in grads] == [inputs[i].shape for i in floating]


def test_the_gradient_of_what_is_shared_is_a_sum_over_the_examples():
    x, w, b = jnp.arange(8.0).reshape(4, 2), jnp.ones((2, 3)), jnp.zeros(3)
    sharded = split(rules.dense, (SPLIT, SHARED, SHARED))
    dx, dw, db = jax.jit(jax.grad(sharded, argnums=(0, 1, 2)))(x, w, b)
    np.testing.assert_array_equal(dx, np.full((4, 2), 3))
    np.testing.assert_array_equal(dw, np.repeat([[12], [16]], 3, axis=1))
    np.testing.assert_array_equal(db, np.full(3, 4))
