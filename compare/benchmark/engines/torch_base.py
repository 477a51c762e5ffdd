"""PyTorch's tensors and its autograd, on the device that JAX uses."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

__all__ = [
    "SPIN_SECONDS", "Program", "Step", "copied", "device", "import_torch", "installed", "steps",
    "to_array", "to_tensor", "wait",
]  # fmt: skip

Step = Callable[[], Any]

SPIN_SECONDS = 0.03
"""OpenMP's threads spin while they wait for more work. Measured: for less than 0.02 s."""


class Program(NamedTuple):
    """A forward pass that PyTorch's autograd differentiates.

    Attributes:
        forward: `forward() -> outputs`, a tensor or a tuple of tensors.
        leaves: a tree of the tensors that it is differentiated by, in PyTorch's layout.
        back: `back(grads) -> grads`: from arrays like `leaves` to a tree like what was given.
    """

    forward: Callable[[], Any]
    leaves: Any
    back: Callable[[Any], Any]


def installed() -> bool:
    """Tells whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None


def device() -> str:
    """Tells where PyTorch runs: on a GPU if that is JAX's device, and PyTorch can reach it."""
    on_gpu = jax.default_backend() == "gpu" and importlib.import_module("torch").cuda.is_available()
    return "cuda" if on_gpu else "cpu"


def import_torch() -> Any:
    """Imports PyTorch, with as many threads as there are cores, and products as JAX takes them."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config: Any = jax.config
    torch.backends.cuda.matmul.allow_tf32 = config.jax_default_matmul_precision is None
    return torch


def copied(x: Any) -> np.ndarray:
    """Copies an array of JAX or NumPy to one of NumPy."""
    return np.array(jax.device_get(x))


def to_tensor(x: Any) -> Any:
    """Copies an array to a tensor on the device."""
    torch, array = import_torch(), np.array(copied(x), order="C")
    if array.dtype.name == "bfloat16":  # which NumPy does not have, and PyTorch cannot read from it
        return torch.from_numpy(array.astype(np.float32)).to(device(), torch.bfloat16)
    return torch.from_numpy(array).to(device())


def to_array(tensor: Any) -> np.ndarray:
    """Copies a tensor to an array of NumPy."""
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        return tensor.float().numpy().astype(jax.numpy.bfloat16)
    return tensor.numpy()


def wait() -> None:
    """Waits for what was started: a GPU computes while Python runs on."""
    if device() != "cpu":
        import_torch().cuda.synchronize()


def steps(
    program: Program, cotangents: Any = None, *, compiled: bool = False
) -> tuple[Step, Callable[[], Any]]:
    """Prepares a forward and backward pass.

    Args:
        program: what is run.
        cotangents: tensors like the outputs; None for a single number.
        compiled: whether the forward pass goes through `torch.compile`.

    Returns:
        `step()`, which does one forward and backward pass; and `result() -> (outputs, grads)`,
        which returns arrays of the last pass.
    """
    torch, leaves = import_torch(), jax.tree.leaves(program.leaves)
    run = torch.compile(program.forward, dynamic=False) if compiled else program.forward
    latest: dict[str, Any] = {}

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        latest["outputs"] = run()
        torch.autograd.backward(latest["outputs"], cotangents)
        wait()

    def result() -> Any:
        outputs = jax.tree.map(to_array, latest["outputs"])
        return outputs, program.back(jax.tree.map(lambda leaf: to_array(leaf.grad), program.leaves))

    return step, result
