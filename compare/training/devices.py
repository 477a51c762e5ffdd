"""Shares the rows of a batch among several devices, and keeps everything else on all of them.

The code of a step is the same for one device and for many. XLA reads how the batch is sharded, and
inserts a sum over devices where either gradient takes the mean over the batch.
"""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from compare.trees import with_keys, without_keys

__all__ = ["BATCH", "make_mesh", "replicate", "replicated", "share_rows"]

BATCH = "batch"
"""The name of the only axis of a mesh."""


def make_mesh(count: int) -> Mesh:
    """Builds a mesh of one axis from the first `count` devices of all processes.

    Raises:
        ValueError: `count` is not positive, or jax has fewer devices.
    """
    devices = jax.devices()
    if not 1 <= count <= len(devices):
        raise ValueError(f"{count} devices were asked for, and jax has {len(devices)}")
    return jax.make_mesh((count,), (BATCH,), devices=devices[:count], axis_types=(AxisType.Auto,))


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Copies the arrays of a tree to every device of the mesh, or to jax's default device.

    Every process must give the same numbers; jax checks that.

    Args:
        tree: arrays on the host or on a device, and random keys.
        mesh: None for the default device.
    """
    if mesh is None:
        return jax.device_put(tree)
    host = jax.device_get(without_keys(tree))
    return with_keys(jax.device_put(host, NamedSharding(mesh, PartitionSpec())), tree)


def replicated(tree: Any, mesh: Mesh | None) -> Any:
    """Keeps arrays that are computed under `jit` on every device of the mesh.

    Args:
        tree: traced arrays.
        mesh: None leaves them as they are.
    """
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec()))


def share_rows(batch: Any, mesh: Mesh | None) -> Any:
    """Shares the rows of a batch out evenly among the devices, for use under `jit`.

    If the number of rows is no multiple of the number of devices, each device computes the whole
    batch. No row is padded or dropped, so that a mean is always over the rows of the batch.

    Args:
        batch: arrays whose first axis is the rows.
        mesh: None leaves the batch as it is.
    """
    if mesh is None or len(jax.tree.leaves(batch)[0]) % mesh.size:
        return replicated(batch, mesh)
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec(BATCH)))
