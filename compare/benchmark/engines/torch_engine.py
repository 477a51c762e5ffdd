"""The models in PyTorch, on the device that JAX uses, differentiated by its autograd.

Images are in PyTorch's layout, (batch, channels, height, width), and convolution kernels in its
layout (n_out, n_in, h, w). They are converted before the clock starts, and gradients are converted
back after it has stopped.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

__all__ = [
    "SPIN_SECONDS", "cnn_loss_and_grad", "device", "installed", "mlp_loss_and_grad", "mlp_training"
]  # fmt: skip

Step = Callable[[], Any]

SPIN_SECONDS = 0.03
"""OpenMP's threads spin while they wait for more work. Measured: for less than 0.02 s."""


def installed() -> bool:
    """Tells whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None


def device() -> str:
    """Tells where PyTorch runs: on a GPU if that is JAX's device, and PyTorch can reach it."""
    on_gpu = jax.default_backend() == "gpu" and importlib.import_module("torch").cuda.is_available()
    return "cuda" if on_gpu else "cpu"


def mlp_loss_and_grad(
    params: Any, batch: Any, *, compiled: bool = False
) -> tuple[Step, Callable[[], Any]]:
    """Prepares the softmax cross-entropy of a network with ReLU, and its gradient.

    Args:
        params: `[{"w": (n_in, n_out), "b": (n_out,)}, ...]`.
        batch: x (batch, n_in) and integer labels (batch,).
        compiled: whether the forward pass goes through `torch.compile`.

    Returns:
        `step()`, which does one forward and backward pass; and `result() -> (loss, grads)`, which
        returns the loss and the gradient of the last pass, the gradient like `params`.
    """
    torch = _torch()
    leaves = _leaves(torch, params)
    x, labels = _tensor(torch, _copy(batch[0])), _tensor(torch, _copy(batch[1])).long()

    def forward() -> Any:
        a = x
        for w, b in leaves[:-1]:
            a = torch.relu(torch.addmm(b, a, w))
        w, b = leaves[-1]
        return torch.nn.functional.cross_entropy(torch.addmm(b, a, w), labels)

    return _steps(torch, forward, leaves, lambda w: w, compiled)


def cnn_loss_and_grad(
    params: Any, batch: Any, *, compiled: bool = False
) -> tuple[Step, Callable[[], Any]]:
    """Prepares the softmax cross-entropy of the network of `manual.cnn`, and its gradient.

    Args:
        params: kernels (3, 3, n_in, n_out) and biases of the stages, then the dense layer.
        batch: images (batch, height, width, channels) and integer labels (batch,).
        compiled: as of `mlp_loss_and_grad`.

    Returns:
        `step` and `result`, as of `mlp_loss_and_grad`.
    """
    torch = _torch()
    functional = torch.nn.functional
    height, width = (n // 2 ** (len(params) - 1) for n in np.shape(batch[0])[1:3])
    kernels = [{**layer, "w": _copy(layer["w"]).transpose(3, 2, 0, 1)} for layer in params[:-1]]
    dense = _copy(params[-1]["w"])
    channels = dense.shape[0] // (height * width)
    by_channel = dense.reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
    converted = [*kernels, {**params[-1], "w": by_channel.reshape(dense.shape)}]
    leaves = _leaves(torch, converted)
    x = _tensor(torch, _copy(batch[0]).transpose(0, 3, 1, 2))
    labels = _tensor(torch, _copy(batch[1])).long()

    def forward() -> Any:
        a = x
        for w, b in leaves[:-1]:
            a = functional.max_pool2d(torch.relu(functional.conv2d(a, w, b, padding=1)), 2)
        w, b = leaves[-1]
        return functional.cross_entropy(torch.addmm(b, a.flatten(1), w), labels)

    def back(w: np.ndarray) -> np.ndarray:
        if w.ndim == 4:
            return w.transpose(2, 3, 1, 0)
        return w.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(w.shape)

    return _steps(torch, forward, leaves, back, compiled)


def mlp_training(
    params: Any, data: Any, batch_size: int, learning_rate: float
) -> tuple[Callable[..., None], Callable[[], Any]]:
    """Prepares the training of a network with ReLU by softmax cross-entropy and Adam.

    Args:
        params: the first parameters, `[{"w": (n_in, n_out), "b": (n_out,)}, ...]`.
        data: x (rows, n_in) and integer labels (rows,).
        batch_size: rows of a mini-batch; the last one may have fewer.
        learning_rate: of Adam.

    Returns:
        `epoch(order)`, which makes one pass over the rows, shuffled if no order is given; and
        `result() -> (loss, grads, params)`: the loss and the gradient of the last batch, before
        its step, and the parameters after its step.
    """
    torch = _torch()
    network = _network(torch, params)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    x, labels = _tensor(torch, _copy(data[0])), _tensor(torch, _copy(data[1])).long()
    latest: dict[str, Any] = {}

    def epoch(order: Any = None) -> None:
        shuffled = torch.randperm(len(x), device=x.device)
        rows = shuffled if order is None else _tensor(torch, _copy(order)).long()
        for batch in rows.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(network(x[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            latest["loss"] = loss.detach()
        _wait(torch)

    def result() -> Any:
        layers = [layer for layer in network if hasattr(layer, "weight")]
        grads = [{"w": _array(a.weight.grad).T, "b": _array(a.bias.grad)} for a in layers]
        now = [{"w": _array(a.weight).T, "b": _array(a.bias)} for a in layers]
        return _array(latest["loss"]), grads, now

    return epoch, result


def _network(torch: Any, params: Any) -> Any:
    """Builds linear layers with these parameters and ReLU in between; weights are (n_out, n_in)."""
    modules = []
    for layer in params:
        w, b = _copy(layer["w"]), _copy(layer["b"])
        linear = torch.nn.Linear(*w.shape)
        linear.weight = torch.nn.Parameter(_tensor(torch, w.T))
        linear.bias = torch.nn.Parameter(_tensor(torch, b))
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def _torch() -> Any:
    """Imports PyTorch, with as many threads as there are cores, and products as JAX takes them."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config: Any = jax.config
    torch.backends.cuda.matmul.allow_tf32 = config.jax_default_matmul_precision is None
    return torch


def _tensor(torch: Any, x: np.ndarray) -> Any:
    return torch.from_numpy(np.ascontiguousarray(x)).to(device())


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _wait(torch: Any) -> None:
    """Waits for what was started: a GPU computes while Python runs on."""
    if device() != "cpu":
        torch.cuda.synchronize()


def _leaves(torch: Any, params: Any) -> list[tuple[Any, Any]]:
    return [
        tuple(_tensor(torch, _copy(layer[name])).requires_grad_() for name in ("w", "b"))
        for layer in params
    ]


def _copy(x: Any) -> np.ndarray:
    return np.array(jax.device_get(x))


def _steps(
    torch: Any,
    forward: Callable[[], Any],
    leaves: list[tuple[Any, Any]],
    back: Callable[[np.ndarray], np.ndarray],
    compiled: bool,
) -> tuple[Step, Callable[[], Any]]:
    """Makes `step`, which computes new gradients, and `result`, which reads them in our layout."""
    latest: dict[str, Any] = {}
    run = torch.compile(forward, dynamic=False) if compiled else forward

    def step() -> None:
        for pair in leaves:
            for leaf in pair:
                leaf.grad = None
        latest["loss"] = run()
        latest["loss"].backward()
        _wait(torch)

    def result() -> Any:
        grads = [{"w": back(_array(w.grad)), "b": _array(b.grad)} for w, b in leaves]
        return _array(latest["loss"]), grads

    return step, result
