"""The models of images in PyTorch, on the device that JAX uses, differentiated by its autograd.

Images are in PyTorch's layout, (batch, channels, height, width), and convolution kernels in its
layout (n_out, n_in, h, w). They are converted before the clock starts, and gradients are converted
back after it has stopped.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.benchmark.engines.torch_base import (
    Program,
    Step,
    copied,
    import_torch,
    steps,
    to_array,
    to_tensor,
    wait,
)

__all__ = ["cnn_loss_and_grad", "mlp_loss_and_grad", "mlp_training"]


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
    torch = import_torch()
    leaves = _leaves(params)
    x, labels = to_tensor(batch[0]), to_tensor(batch[1]).long()

    def forward() -> Any:
        a = x
        for layer in leaves[:-1]:
            a = torch.relu(torch.addmm(layer["b"], a, layer["w"]))
        logits = torch.addmm(leaves[-1]["b"], a, leaves[-1]["w"])
        return torch.nn.functional.cross_entropy(logits, labels)

    return steps(Program(forward, leaves, lambda grads: grads), compiled=compiled)


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
    torch = import_torch()
    functional = torch.nn.functional
    height, width = (n // 2 ** (len(params) - 1) for n in np.shape(batch[0])[1:3])
    kernels = [{**layer, "w": copied(layer["w"]).transpose(3, 2, 0, 1)} for layer in params[:-1]]
    dense = copied(params[-1]["w"])
    channels = dense.shape[0] // (height * width)
    by_channel = dense.reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
    leaves = _leaves([*kernels, {**params[-1], "w": by_channel.reshape(dense.shape)}])
    x = to_tensor(copied(batch[0]).transpose(0, 3, 1, 2))
    labels = to_tensor(batch[1]).long()

    def forward() -> Any:
        a = x
        for layer in leaves[:-1]:
            z = functional.conv2d(a, layer["w"], layer["b"], padding=1)
            a = functional.max_pool2d(torch.relu(z), 2)
        logits = torch.addmm(leaves[-1]["b"], a.flatten(1), leaves[-1]["w"])
        return functional.cross_entropy(logits, labels)

    def back(grads: Any) -> Any:
        *stages, last = grads
        w = last["w"].reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
        ours = [{**stage, "w": stage["w"].transpose(2, 3, 1, 0)} for stage in stages]
        return [*ours, {**last, "w": w.reshape(dense.shape)}]

    return steps(Program(forward, leaves, back), compiled=compiled)


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
    torch = import_torch()
    network = _network(params)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    x, labels = to_tensor(data[0]), to_tensor(data[1]).long()
    latest: dict[str, Any] = {}

    def epoch(order: Any = None) -> None:
        shuffled = torch.randperm(len(x), device=x.device)
        rows = shuffled if order is None else to_tensor(order).long()
        for batch in rows.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(network(x[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            latest["loss"] = loss.detach()
        wait()

    def result() -> Any:
        layers = [layer for layer in network if hasattr(layer, "weight")]
        grads = [{"w": to_array(a.weight.grad).T, "b": to_array(a.bias.grad)} for a in layers]
        now = [{"w": to_array(a.weight).T, "b": to_array(a.bias)} for a in layers]
        return to_array(latest["loss"]), grads, now

    return epoch, result


def _network(params: Any) -> Any:
    """Builds linear layers with these parameters and ReLU in between; weights are (n_out, n_in)."""
    torch, modules = import_torch(), []
    for layer in params:
        w, b = copied(layer["w"]), copied(layer["b"])
        linear = torch.nn.Linear(*w.shape)
        linear.weight = torch.nn.Parameter(to_tensor(w.T))
        linear.bias = torch.nn.Parameter(to_tensor(b))
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def _leaves(params: Any) -> list[dict[str, Any]]:
    return [
        {name: to_tensor(layer[name]).requires_grad_() for name in ("w", "b")} for layer in params
    ]
