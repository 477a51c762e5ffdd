"""What `shard_map` and meshes do to numbers, and to sizes that the CPU takes in blocks."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from manual import rules

PROGRAM = Path(__file__).parent / "programs" / "explicit_mesh.py"
SPLIT, SHARED = PartitionSpec("data"), PartitionSpec()


def floats(*shapes):
    return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)


# Every rule has its turn in test_transformations.
CASES = {
    "conv2d in blocks": (rules.conv2d, floats((100, 28, 28, 3), (3, 3, 3, 4), (4,))),
    "layer_norm in blocks": (rules.layer_norm, floats((512, 512), (512,), (512,))),
    "rms_norm in blocks": (rules.rms_norm, floats((512, 512), (512,))),
}


def split(f, specs, check_vma=True):
    """The sum of f over one device; what varies and what does not is the same over many."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

    def total(*inputs):
        return jax.lax.psum(f(*inputs).sum(), "data")

    return jax.shard_map(total, mesh=mesh, in_specs=specs, out_specs=SHARED, check_vma=check_vma)


@pytest.mark.parametrize("check_vma", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_gradient_has_the_shape_of_its_input(name, check_vma):
    rule, inputs = CASES[name]
    specs = (SPLIT, *[SHARED] * (len(inputs) - 1))
    loss = split(rule, specs, check_vma)
    grads = jax.eval_shape(jax.grad(loss, argnums=range(len(inputs))), *inputs)
    assert [g.shape for g in grads] == [x.shape for x in inputs]


@pytest.mark.parametrize("check_vma", [True, False])
def test_the_gradient_of_what_is_shared_is_a_sum_over_the_examples(check_vma):
    x, w, b = jnp.arange(8.0).reshape(4, 2), jnp.ones((2, 3)), jnp.zeros(3)
    sharded = split(rules.dense, (SPLIT, SHARED, SHARED), check_vma)
    dx, dw, db = jax.jit(jax.grad(sharded, argnums=(0, 1, 2)))(x, w, b)
    np.testing.assert_array_equal(dx, np.full((4, 2), 3))
    np.testing.assert_array_equal(dw, np.repeat([[12], [16]], 3, axis=1))
    np.testing.assert_array_equal(db, np.full(3, 4))


def test_two_devices_with_explicit_axes_compute_what_one_computes():
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["agree"] * 4
