"""Differentiates rules on two devices whose mesh has explicit axes; prints `agree` for each."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)
sys.path.insert(0, str(Path(__file__).parents[4]))

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from manual.rules import dense, layer_norm

MESH = jax.make_mesh((2,), ("data",))
SPLIT, SHARED = PartitionSpec("data"), PartitionSpec()


def loss(x, w, b):
    return jnp.sum(jnp.cos(layer_norm(dense(x, w, b), b + 1, b)))


def main():
    """Compares under jit and, with the mesh as the context, as JAX wants it there, without."""
    x, w, b = (jnp.cos(jnp.arange(float(n))) for n in (24, 18, 3))
    inputs = x.reshape(4, 6), w.reshape(6, 3), b
    want = jax.grad(loss, argnums=(0, 1, 2))(*inputs)
    placed = [
        jax.device_put(a, NamedSharding(MESH, spec))
        for a, spec in zip(inputs, (SPLIT, SHARED, SHARED), strict=True)
    ]
    # With the first input alone on the mesh, the others are put on it too.
    for own in (placed, [placed[0], *inputs[1:]]):
        for transform in (jax.jit, lambda f: f):
            with nullcontext() if transform is jax.jit else jax.set_mesh(MESH):
                got = transform(jax.grad(loss, argnums=(0, 1, 2)))(*own)
            for a, b, other in zip(got, want, placed, strict=True):
                assert jax.typeof(a).sharding == jax.typeof(other).sharding
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            print("agree")


main()
