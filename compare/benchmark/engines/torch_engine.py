"""The models in PyTorch on the CPU, eager, differentiated by its autograd.

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
    "SPIN_SECONDS", "cnn_loss_and_grad", "installed", "mlp_loss_and_grad", "mlp_training"
]  # fmt: skip

Step = Callable[[], Any]

SPIN_SECONDS = 0.03
"""OpenMP's threads spin while they wait for more work. Measured: for less than 0.02 s."""


def installed() -> bool:
    """Tells whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None


def mlp_loss_and_grad(params: Any, batch: Any) -> tuple[Step, Callable[[], Any]]:
    """Prepares the softmax cross-entropy of a network with ReLU, and its gradient.

    Args:
        params: `[{"w": (n_in, n_out), "b": (n_out,)}, ...]`.
        batch: x (batch, n_in) and integer labels (batch,).

    Returns:
        `step()`, which does one forward and backward pass; and `result() -> (loss, grads)`, which
        returns the loss and the gradient of the last pass, the gradient like `params`.
    """
    torch = _torch()
    leaves = _leaves(torch, params)
    x, labels = torch.from_numpy(_copy(batch[0])), torch.from_numpy(_copy(batch[1])).long()

    def forward() -> Any:
        a = x
        for w, b in leaves[:-1]:
            a = torch.relu(torch.addmm(b, a, w))
        w, b = leaves[-1]
        return torch.nn.functional.cross_entropy(torch.addmm(b, a, w), labels)

    return _steps(forward, leaves, lambda w: w)


def cnn_loss_and_grad(params: Any, batch: Any) -> tuple[Step, Callable[[], Any]]:
    """Prepares the softmax cross-entropy of the network of `manual.cnn`, and its gradient.

    Args:
        params: kernels (3, 3, n_in, n_out) and biases of the stages, then the dense layer.
        batch: images (batch, height, width, channels) and integer labels (batch,).

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
    x = torch.from_numpy(np.ascontiguousarray(_copy(batch[0]).transpose(0, 3, 1, 2)))
    labels = torch.from_numpy(_copy(batch[1])).long()

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

    return _steps(forward, leaves, back)


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
    x, labels = torch.from_numpy(_copy(data[0])), torch.from_numpy(_copy(data[1])).long()
    latest: dict[str, Any] = {}

    def epoch(order: Any = None) -> None:
        rows = torch.randperm(len(x)) if order is None else torch.from_numpy(_copy(order)).long()
        for batch in rows.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(network(x[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            latest["loss"] = loss.detach()

    def result() -> Any:
        layers = [layer for layer in network if hasattr(layer, "weight")]
        grads = [{"w": a.weight.grad.numpy().T, "b": a.bias.grad.numpy()} for a in layers]
        now = [{"w": a.weight.detach().numpy().T, "b": a.bias.detach().numpy()} for a in layers]
        return latest["loss"].numpy(), grads, now

    return epoch, result


def _network(torch: Any, params: Any) -> Any:
    """Builds linear layers with these parameters and ReLU in between; weights are (n_out, n_in)."""
    modules = []
    for layer in params:
        w, b = _copy(layer["w"]), _copy(layer["b"])
        linear = torch.nn.Linear(*w.shape)
        linear.weight = torch.nn.Parameter(torch.from_numpy(np.ascontiguousarray(w.T)))
        linear.bias = torch.nn.Parameter(torch.from_numpy(b))
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def _torch() -> Any:
    """Imports PyTorch, and lets it use as many threads as there are cores."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch


def _leaves(torch: Any, params: Any) -> list[tuple[Any, Any]]:
    return [
        tuple(
            torch.from_numpy(np.ascontiguousarray(_copy(layer[name]))).requires_grad_()
            for name in ("w", "b")
        )
        for layer in params
    ]


def _copy(x: Any) -> np.ndarray:
    return np.array(jax.device_get(x))


def _steps(
    forward: Callable[[], Any],
    leaves: list[tuple[Any, Any]],
    back: Callable[[np.ndarray], np.ndarray],
) -> tuple[Step, Callable[[], Any]]:
    """Makes `step`, which computes new gradients, and `result`, which reads them in our layout."""
    latest: dict[str, Any] = {}

    def step() -> None:
        for pair in leaves:
            for leaf in pair:
                leaf.grad = None
        latest["loss"] = forward()
        latest["loss"].backward()

    def result() -> Any:
        grads = [{"w": back(w.grad.numpy()), "b": b.grad.numpy()} for w, b in leaves]
        return latest["loss"].detach().numpy(), grads

    return step, result
