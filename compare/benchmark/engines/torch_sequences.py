"""Sequences in PyTorch: its recurrent layers, its attention, and the models made of them.

Batches are (batch, time, features), as ours are. PyTorch's weights are (n_out, n_in), and its heads
come before the time. Its recurrent layers have two biases, which it adds: ours is the first, the
second is 0. Its gru resets after the product with the matrix, so it is our gru with `reset_after`,
whose b_n is the last third of the second bias.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from compare.benchmark.engines.torch_base import (
    Program,
    Step,
    copied,
    import_torch,
    steps,
    to_tensor,
)

__all__ = ["RULES", "recurrent_loss_and_grad", "rule_gradient", "transformer_loss_and_grad"]

_LAYERS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def recurrent_loss_and_grad(
    params: Any, batch: Any, *, cell: str, compiled: bool = False
) -> tuple[Step, Callable[[], Any]]:
    """Prepares the softmax cross-entropy of the network of `manual.recurrent`, and its gradient.

    Args:
        params: `{"cell": {"w_x", "w_h", "b"}, "out": {"w", "b"}}`.
        batch: x (batch, time, n_in) and integer labels (batch,).
        cell: `rnn` or `lstm`.
        compiled: whether the forward pass goes through `torch.compile`.

    Returns:
        `step()`, which does one forward and backward pass; and `result() -> (loss, grads)`, which
        returns the loss and the gradient of the last pass, the gradient like `params`.
    """
    functional = import_torch().nn.functional
    layer, of_layer, own = _recurrent(cell, params["cell"])
    out = _linear(params["out"])
    x, labels = to_tensor(batch[0]), to_tensor(batch[1]).long()

    def forward() -> Any:
        every, _ = layer(x)
        return functional.cross_entropy(functional.linear(every[:, -1], **_named(out)), labels)

    def back(grads: Any) -> Any:
        return {"cell": of_layer(grads["cell"]), "out": _transposed(grads["out"])}

    return steps(Program(forward, {"cell": own, "out": out}, back), compiled=compiled)


def transformer_loss_and_grad(
    params: Any,
    batch: Any,
    *,
    heads: int,
    causal: bool = False,
    patch: int = 4,
    compiled: bool = False,
) -> tuple[Step, Callable[[], Any]]:
    """Prepares the softmax cross-entropy of the network of `manual.transformer`, and its gradient.

    Args:
        params: as `manual.transformer.init` makes them, the table not tied.
        batch: images (batch, height, width) and labels (batch,), or tokens (batch, T) and those
            that follow them.
        heads: how many heads of attention.
        causal: whether a step sees none that comes later.
        patch: how many pixels a patch has on a side.
        compiled: whether the forward pass goes through `torch.compile`.

    Returns:
        `step` and `result`, as of `recurrent_loss_and_grad`.
    """
    functional = import_torch().nn.functional
    leaves = jax.tree.map(lambda leaf: leaf.requires_grad_(), _converted(params))
    x, labels = to_tensor(batch[0]), to_tensor(batch[1]).long()
    of_tokens = "table" in params["embed"]
    times = x.shape[1] if of_tokens else x.shape[1] * x.shape[2] // patch**2
    width = len(params["norm"]["scale"])
    turned = _rotary(times, width // heads, copied(params["norm"]["scale"]).dtype)

    def norm(h: Any, p: Mapping[str, Any]) -> Any:
        return functional.layer_norm(h, (width,), p["scale"], p["bias"])

    def block(h: Any, p: Mapping[str, Any]) -> Any:
        qkv = functional.linear(norm(h, p["norm"]), **_named(p["qkv"]))
        q, k, v = qkv.view(*h.shape[:2], 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        o = functional.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=causal)
        h = h + functional.linear(o.transpose(1, 2).flatten(2), **_named(p["out"]))
        z = functional.linear(norm(h, p["norm2"]), **_named(p["up"]))
        return h + functional.linear(functional.gelu(z, approximate="tanh"), **_named(p["down"]))

    def forward() -> Any:
        if of_tokens:
            h = functional.embedding(x.long(), leaves["embed"]["table"])
        else:
            h = functional.linear(_patches(x, patch), **_named(leaves["embed"]))
        for p in leaves["blocks"]:
            h = block(h, p)
        h = norm(h, leaves["norm"])
        h = h.flatten(0, 1) if of_tokens else h.mean(dim=1)
        logits = functional.linear(h, **_named(leaves["head"]))
        return functional.cross_entropy(logits, labels.flatten())

    return steps(Program(forward, leaves, _transposed), compiled=compiled)


def rule_gradient(
    name: str, inputs: Sequence[Any], d_out: Any, *, compiled: bool = False
) -> tuple[Step, Callable[[], Any]]:
    """Prepares the forward and backward pass of what one of our rules computes.

    Args:
        name: one of RULES.
        inputs: of the rule.
        d_out: like its output.
        compiled: whether the forward pass goes through `torch.compile`.

    Returns:
        `step()`; and `result() -> (out, grads)`, the gradients in the inputs' order, None of one
        that is not differentiated.
    """
    program = RULES[name](*inputs)
    return steps(program, jax.tree.map(to_tensor, d_out), compiled=compiled)


def _rule_recurrent(cell: str, *inputs: Any) -> Program:
    x, *others = inputs
    count = 2 if cell == "lstm" else 1
    names = ("w_x", "w_h", "b", "b_n")
    layer, of_layer, own = _recurrent(cell, dict(zip(names, others[count:], strict=False)))
    outer = [to_tensor(a).requires_grad_() for a in (x, *others[:count])]

    def forward() -> Any:
        states = [state[None] for state in outer[1:]]
        every, last = layer(outer[0], tuple(states) if cell == "lstm" else states[0])
        return (every, *(state[0] for state in (last if cell == "lstm" else [last])))

    def back(grads: Any) -> Any:
        return *grads[0], *of_layer(grads[1]).values()

    return Program(forward, (outer, own), back)


def _rule_attention(causal: bool, q: Any, k: Any, v: Any) -> Program:
    functional = import_torch().nn.functional
    leaves = [to_tensor(a).requires_grad_() for a in (q, k, v)]

    def forward() -> Any:
        heads_first = (leaf.transpose(1, 2) for leaf in leaves)
        out = functional.scaled_dot_product_attention(*heads_first, is_causal=causal)
        return out.transpose(1, 2)

    return Program(forward, leaves, tuple)


def _rule_last_layer(x: Any, w: Any, labels: Any) -> Program:
    functional = import_torch().nn.functional
    leaves = to_tensor(x).requires_grad_(), to_tensor(copied(w).T).requires_grad_()
    targets = to_tensor(labels).long()

    def forward() -> Any:
        return functional.cross_entropy(functional.linear(*leaves), targets)

    return Program(forward, leaves, lambda grads: (grads[0], grads[1].T, None))


RULES: dict[str, Callable[..., Program]] = {
    "rnn": partial(_rule_recurrent, "rnn"),
    "lstm": partial(_rule_recurrent, "lstm"),
    "gru reset after": partial(_rule_recurrent, "gru"),
    "attention": partial(_rule_attention, False),
    "attention causal": partial(_rule_attention, True),
    "linear_cross_entropy": _rule_last_layer,
}
"""What PyTorch has of our rules, by the name in the table of rules."""


def _recurrent(cell: str, own: Mapping[str, Any]) -> tuple[Any, Callable[[Any], Any], Any]:
    """Builds the layer; returns it, what turns its gradients to ours, and its parameters."""
    torch = import_torch()
    w_x, w_h, b = (copied(own[name]) for name in ("w_x", "w_h", "b"))
    n = len(w_h)
    second = np.zeros_like(b)
    if "b_n" in own:
        second[2 * n :] = copied(own["b_n"])
    layer = getattr(torch.nn, _LAYERS[cell])(len(w_x), n, batch_first=True)
    given = [to_tensor(a) for a in (w_x.T, w_h.T, b, second)]
    layer.to(given[0])
    parameters = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0]
    with torch.no_grad():
        for parameter, value in zip(parameters, given, strict=True):
            parameter.copy_(value)

    def back(grads: Any) -> Any:
        dw_x, dw_h, db, dsecond = grads
        ours = {"w_x": dw_x.T, "w_h": dw_h.T, "b": db}
        return ours | {"b_n": dsecond[2 * n :]} if "b_n" in own else ours

    return layer, back, parameters


def _linear(layer: Mapping[str, Any]) -> dict[str, Any]:
    tensors = {"w": to_tensor(copied(layer["w"]).T), "b": to_tensor(layer["b"])}
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def _named(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A linear layer as PyTorch names it."""
    return {"weight": layer["w"], "bias": layer["b"]}


def _transposed(tree: Any) -> Any:
    """The weights of every linear layer turned, from PyTorch's layout to ours and the way back."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.T if path[-1].key == "w" else leaf, tree
    )


def _converted(params: Any) -> Any:
    return jax.tree.map(to_tensor, _transposed(jax.tree.map(copied, params)))


def _patches(x: Any, size: int) -> Any:
    batch, height, width = x.shape
    x = x.view(batch, height // size, size, width // size, size).transpose(2, 3)
    return x.reshape(batch, -1, size**2)


def _rotary(times: int, features: int, dtype: Any) -> Callable[[Any], Any]:
    """Prepares the turning of (batch, heads, T, features), all angles at once."""
    half = features // 2
    angle = np.arange(times)[:, None] * 10_000.0 ** (-np.arange(half) / half)
    cos, sin = (to_tensor(f(angle).astype(dtype)) for f in (np.cos, np.sin))

    def turned(x: Any) -> Any:
        a, b = x[..., :half], x[..., half:]
        return import_torch().cat((a * cos - b * sin, a * sin + b * cos), dim=-1)

    return turned
