"""The multilayer perceptron, its backward pass written out layer by layer.

Layer l computes z(l) = a(l−1) W(l) + b(l) and a(l) = f(z(l)), from a(0) = x; the last layer's f is
the identity, since the losses work on logits. Rows are examples.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from manual import initializers
from manual.rules import activations, losses
from manual.rules.dense import dense, dense_bwd, dense_fwd
from manual.rules.rule import Rule

__all__ = ["Params", "init", "loss", "loss_and_grad", "predict"]

Params = list[dict[str, jax.Array]]
Batch = tuple[jax.Array, jax.Array]


def init(
    key: jax.Array,
    sizes: Sequence[int],
    *,
    initializer: str = "he_normal",
    dtype: Any = jnp.float32,
) -> Params:
    """Draws the parameters of a network with layers of these sizes, input first.

    Returns:
        One `{"w": (n_in, n_out), "b": (n_out,)}` a layer; biases are zero.

    Raises:
        ValueError: if there are fewer than two sizes or one is not positive, or if there is no
            initializer of that name.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be at least two positive integers, got {tuple(sizes)}")
    draw = initializers.by_name(initializer)
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": draw(layer_key, (n_in, n_out), dtype), "b": jnp.zeros(n_out, dtype)}
        for layer_key, (n_in, n_out) in zip(keys, pairwise(sizes), strict=True)
    ]


def predict(
    params: Params, x: jax.Array, *, activation: str | Rule[..., jax.Array] = "relu"
) -> jax.Array:
    """Computes the logits: x (batch, n_in) -> (batch, n_out).

    Raises:
        ValueError: if there is no activation of that name.
    """
    f = activations.by_name(activation)
    *hidden, last = params
    for layer in hidden:
        x = f(dense(x, layer["w"], layer["b"]))
    return dense(x, last["w"], last["b"])


def loss(
    params: Params,
    batch: Batch,
    *,
    activation: str | Rule[..., jax.Array] = "relu",
    loss: str | Rule[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """Computes the loss of the logits of batch = (x, targets), a scalar.

    `jax.grad` of it applies the same rules as `loss_and_grad`, put together by JAX instead of here.

    Args:
        params: as `init` makes them.
        batch: x (batch, n_in) and the targets that the loss asks for.
        activation: the name of an activation, or a rule of one array.
        loss: the name of a loss, or a rule of (logits, targets).

    Raises:
        ValueError: if there is no activation or no loss of that name.
        AssertionError: if the targets do not fit the logits in shape or dtype.
    """
    x, targets = batch
    return losses.by_name(loss)(predict(params, x, activation=activation), targets)


def loss_and_grad(
    params: Params,
    batch: Batch,
    *,
    activation: str | Rule[..., jax.Array] = "relu",
    loss: str | Rule[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> tuple[jax.Array, Params]:
    """Computes the loss and its gradient with respect to the parameters, by backpropagation.

    With δ(l) = ∂L/∂z(l) and columns as examples (Nielsen 2015, ch. 2, BP1 to BP4):

        δ(L) = ∇ₐL ⊙ f′(z(L))
        δ(l) = (W(l+1))ᵀ δ(l+1) ⊙ f′(z(l))
        ∂L/∂W(l) = δ(l) a(l−1)ᵀ,  ∂L/∂b(l) = δ(l) summed over the examples

    With f the identity in the last layer and a softmax or sigmoid inside the cross-entropy,
    δ(L) = (a − y)/m. In the code `dz` is δ(l), and `da` is ∇ₐL at first and (W(l+1))ᵀ δ(l+1) in
    the layers below. Nothing uses the `da` of the input, and XLA drops it under `jit`.

    The arguments are those of `loss`.

    Returns:
        What `jax.value_and_grad` of `loss` returns: the loss, and a tree like `params`.

    Raises:
        ValueError: if there is no activation or no loss of that name.
        AssertionError: if the targets do not fit the logits in shape or dtype.
    """
    a, targets = batch
    hidden = activations.by_name(activation)
    fs = [hidden] * (len(params) - 1) + [activations.by_name("identity")]
    criterion = losses.by_name(loss)

    saved = []
    for layer, f in zip(params, fs, strict=True):
        z, dense_residuals = dense_fwd(a, layer["w"], layer["b"])
        a, f_residuals = f.fwd(z)
        saved.append((dense_residuals, f_residuals))
    value, loss_residuals = criterion.fwd(a, targets)

    da, _ = criterion.bwd(loss_residuals, jnp.ones_like(value))
    grads = []
    for f, (dense_residuals, f_residuals) in zip(reversed(fs), reversed(saved), strict=True):
        (dz,) = f.bwd(f_residuals, da)
        da, dw, db = dense_bwd(dense_residuals, dz)
        grads.append({"w": dw, "b": db})
    return value, grads[::-1]
