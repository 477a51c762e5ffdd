"""Several devices at the same batch: its rows are shared out, everything else is on all of them.

The code of a step is the same for one device and for many. XLA reads the sharding of the batch and
puts the sum over devices where the mean over the batch is, in either gradient.
"""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from compare.trees import with_keys, without_keys

__all__ = ["BATCH", "make_mesh", "replicate", "replicated", "share_rows"]

BATCH = "batch"
"""The mesh's one axis."""


def make_mesh(count: int) -> Mesh:
    """The first `count` devices of all processes, in a row.

    Raises:
        ValueError: there are not so many.
    """
    devices = jax.devices()
    if not 1 <= count <= len(devices):
        raise ValueError(f"{count} devices were asked for, and jax has {len(devices)}")
    return jax.make_mesh((count,), (BATCH,), devices=devices[:count], axis_types=(AxisType.Auto,))


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """The arrays of a tree on every device of the mesh; on jax's own choice without one.

    Every process has the same numbers; jax checks that.
    """
    if mesh is None:
        return jax.device_put(tree)
    host = jax.device_get(without_keys(tree))
    return with_keys(jax.device_put(host, NamedSharding(mesh, PartitionSpec())), tree)


def replicated(tree: Any, mesh: Mesh | None) -> Any:
    """The same for what is computed under `jit`."""
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec()))


def share_rows(batch: Any, mesh: Mesh | None) -> Any:
    """The rows of a batch shared out evenly, for use under `jit`.

    What the devices do not divide is computed whole by each of them, so that a mean is always that
    of the batch's own rows.
    """
    if mesh is None or len(jax.tree.leaves(batch)[0]) % mesh.size:
        return replicated(batch, mesh)
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec(BATCH)))
