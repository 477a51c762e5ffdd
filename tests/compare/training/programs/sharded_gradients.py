"""Holds gradients that several devices share against `jax.grad` on one, and prints the verdicts.

python sharded_gradients.py devices N MODEL:SIDE ...
python sharded_gradients.py processes COORDINATOR SIZE RANK MODEL:SIDE ...
"""

import json
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from compare import check_gradients, problems
from compare.experiments import processes
from compare.training import devices

BATCH = 8
LOSS = "softmax_cross_entropy_with_integer_labels"
MODELS = {
    "mlp": problems.mlp((5, 4, 3), "tanh", LOSS),
    "regularised-mlp": problems.regularised_mlp((5, 4, 3), LOSS),
    "cnn": problems.cnn((12, 14, 1), (2, 3), 4, LOSS),
}


def sharded(gradient, mesh):
    """The gradient as a training step takes it: rows shared out, the rest on every device."""

    @jax.jit
    def step(params, state, batch, key):
        return devices.replicated(
            gradient(params, state, devices.share_rows(batch, mesh), key), mesh
        )

    def candidate(*args):
        return jax.device_get(step(*devices.replicate(args, mesh)))

    return candidate


def of_own_rows(gradient, mesh):
    """A mistake: each device takes the mean over its own rows, and nobody puts them together."""

    def candidate(params, state, batch, key):
        batch = jax.tree.map(lambda a: a[: len(a) // mesh.size], batch)
        return gradient(params, state, batch, key)

    return candidate


def verdicts(mesh, names):
    found = {}
    for full in names:
        name, side = full.split(":")
        model = MODELS[name]
        point = model.draw_point(0, BATCH)
        candidate = {
            "manual": sharded(model.manual, mesh),
            "autodiff": sharded(jax.value_and_grad(model.loss, has_aux=True), mesh),
            "own rows": of_own_rows(model.manual, mesh),
        }[side]
        report = check_gradients(candidate, model.loss, *point, has_aux=True, jit=False)
        found[full] = report.verdict
    return found


def is_shared(mesh):
    """Whether a batch is really cut: every device has its part of the rows."""
    rows = jax.jit(lambda x: devices.share_rows(x, mesh))(devices.replicate(np.ones((8, 3)), mesh))
    odd = jax.jit(lambda x: devices.share_rows(x, mesh))(devices.replicate(np.ones((7, 3)), mesh))
    return (
        rows.sharding == NamedSharding(mesh, PartitionSpec(devices.BATCH))
        and {s.data.shape for s in rows.addressable_shards} == {(8 // mesh.size, 3)}
        and {s.data.shape for s in odd.addressable_shards} == {(7, 3)}
    )


def main(kind, *args):
    if kind == "devices":
        jax.config.update("jax_num_cpu_devices", int(args[0]))
        names = args[1:]
    else:
        processes.join(processes.Processes(args[0], args[0], int(args[1]), int(args[2])))
        names = args[3:]
    mesh = devices.make_mesh(len(jax.devices()))
    result = {
        "devices": mesh.size, "processes": jax.process_count(), "shared": is_shared(mesh),
        "verdicts": verdicts(mesh, names),
    }  # fmt: skip
    if kind == "processes":
        multihost_utils.sync_global_devices("done")
        processes.leave()
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
