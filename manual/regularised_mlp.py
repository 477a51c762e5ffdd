"""The multilayer perceptron with batch normalisation and dropout, its backward pass written out.

Hidden layer l computes, from a(0) = x and rows as examples,

    z = a(l−1) W + b,   ẑ = batch_norm(z; γ, β),   a(l) = dropout(max(0, ẑ)),

and the last layer is a(L−1) W + b, since the losses work on logits. The running statistics are the
state, which training takes and returns. The key, from which the masks are drawn, is an argument.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from manual import initializers
from manual.rules import losses
from manual.rules.activations import relu
from manual.rules.batch_norm import (
    batch_norm,
    batch_norm_bwd,
    batch_norm_fwd,
    batch_norm_inference,
    update_running,
)
from manual.rules.dense import dense, dense_bwd, dense_fwd
from manual.rules.dropout import dropout
from manual.rules.rule import Rule

__all__ = ["Params", "State", "init", "loss", "loss_and_grad", "predict"]

Params = list[dict[str, jax.Array]]
State = list[dict[str, jax.Array]]
Batch = tuple[jax.Array, jax.Array]


def init(
    key: jax.Array,
    sizes: Sequence[int],
    *,
    initializer: str = "he_normal",
    dtype: Any = jnp.float32,
) -> tuple[Params, State]:
    """Draws the parameters of a network with layers of these sizes, input first.

    Returns:
        The parameters, `{"w": (n_in, n_out), "b": (n_out,)}` a layer, and in hidden ones
        `"scale"` and `"bias"` (n_out,) of the normalisation, ones and zeros; and the state,
        `{"mean": (n_out,), "var": (n_out,)}` a hidden layer, zeros and ones.

    Raises:
        ValueError: if there are fewer than two sizes or one is not positive, or if there is no
            initializer of that name.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be at least two positive integers, got {tuple(sizes)}")
    draw = initializers.by_name(initializer)
    keys = jax.random.split(key, len(sizes) - 1)
    params: Params = [
        {"w": draw(layer_key, (n_in, n_out), dtype), "b": jnp.zeros(n_out, dtype)}
        for layer_key, (n_in, n_out) in zip(keys, pairwise(sizes), strict=True)
    ]
    for layer in params[:-1]:
        layer |= {"scale": jnp.ones_like(layer["b"]), "bias": jnp.zeros_like(layer["b"])}
    state = [{"mean": jnp.zeros(n, dtype), "var": jnp.ones(n, dtype)} for n in sizes[1:-1]]
    return params, state


def predict(params: Params, state: State, x: jax.Array, *, epsilon: float = 1e-5) -> jax.Array:
    """Computes the logits in inference: with the running statistics, and without dropout.

    Shapes: x (batch, n_in) -> (batch, n_out).

    Args:
        params: as `init` makes them.
        state: the running statistics.
        x: inputs.
        epsilon: added to the variances.
    """
    *hidden, last = params
    for layer, running in zip(hidden, state, strict=True):
        z = dense(x, layer["w"], layer["b"])
        statistics = running["mean"], running["var"]
        x = relu(
            batch_norm_inference(z, layer["scale"], layer["bias"], *statistics, epsilon=epsilon)
        )
    return dense(x, last["w"], last["b"])


def loss(
    params: Params,
    state: State,
    batch: Batch,
    key: jax.Array,
    *,
    rate: float = 0.3,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
    loss: str | Rule[..., jax.Array] = "sigmoid_binary_cross_entropy",
) -> tuple[jax.Array, State]:
    """Computes the loss in training of the logits of batch = (x, targets), and the new state.

    `jax.grad` of it applies the same rules as `loss_and_grad`, put together by JAX instead of here.

    Args:
        params: as `init` makes them.
        state: the running statistics before this batch.
        batch: x (batch, n_in) and the targets that the loss asks for.
        key: one key, split into one for each mask.
        rate: of dropout.
        momentum: of the running statistics, the weight of the past.
        epsilon: added to the variances.
        loss: the name of a loss, or a rule of (logits, targets).

    Raises:
        ValueError: if there is no loss of that name, or rate or momentum is out of range.
        AssertionError: if the targets do not fit the logits in shape or dtype.
    """
    x, targets = batch
    *hidden, last = params
    keys = jax.random.split(key, len(hidden))
    new_state = []
    for layer, running, layer_key in zip(hidden, state, keys, strict=True):
        z = dense(x, layer["w"], layer["b"])
        z, mean, var = batch_norm(z, layer["scale"], layer["bias"], epsilon=epsilon)
        new_state.append(update_running(running, mean, var, momentum=momentum))
        x = dropout(layer_key, relu(z), rate=rate)
    logits = dense(x, last["w"], last["b"])
    return losses.by_name(loss)(logits, targets), new_state


def loss_and_grad(
    params: Params,
    state: State,
    batch: Batch,
    key: jax.Array,
    *,
    rate: float = 0.3,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
    loss: str | Rule[..., jax.Array] = "sigmoid_binary_cross_entropy",
) -> tuple[tuple[jax.Array, State], Params]:
    """Computes the loss, the new state, and the loss's gradient with respect to the parameters.

    The layers are undone from the last to the first, as in `manual.mlp`, with three differences.

    - ReLU and dropout are undone together, by their output: a = max(0, ẑ) m/(1 − p), so that

          ∂a/∂ẑ = 1(ẑ > 0) m/(1 − p) = 1(a > 0)/(1 − p).

      a is there anyway, as the next layer's input, so neither mask nor ẑ is kept; relu'(0) = 0.
    - ∂L/∂b = 0 for the bias in front of a normalisation, exactly: adding b shifts z and its mean
      alike. In the closed form of `batch_norm_bwd`, summed over the n examples of a channel,

          Σ dz = γ r/n (n Σ dẑ − n Σ dẑ − (Σ x̂) Σ dẑ x̂) = 0, because Σ x̂ = 0.

      The sum is not taken: it would be rounding error and nothing else.
    - The loss does not depend on the running statistics: dμ = dσ² = 0.

    The arguments are those of `loss`.

    Returns:
        What `jax.value_and_grad(loss, has_aux=True)` returns: ((loss, state), gradient).

    Raises:
        ValueError: as `loss`.
        AssertionError: as `loss`.
    """
    a, targets = batch
    *hidden, last = params
    keys = jax.random.split(key, len(hidden))
    criterion = losses.by_name(loss)

    saved, new_state = [], []
    for layer, running, layer_key in zip(hidden, state, keys, strict=True):
        z, dense_residuals = dense_fwd(a, layer["w"], layer["b"])
        out, norm_residuals = batch_norm_fwd(z, layer["scale"], layer["bias"], epsilon=epsilon)
        z, mean, var = out
        a = dropout(layer_key, relu(z), rate=rate)
        saved.append((dense_residuals, norm_residuals, a))
        new_state.append(update_running(running, mean, var, momentum=momentum))
    logits, last_residuals = dense_fwd(a, last["w"], last["b"])
    value, loss_residuals = criterion.fwd(logits, targets)

    dlogits, _ = criterion.bwd(loss_residuals, jnp.ones_like(value))
    da, dw, db = dense_bwd(last_residuals, dlogits)
    grads: Params = [{"w": dw, "b": db}]
    for layer, (dense_residuals, norm_residuals, a) in zip(
        reversed(hidden), reversed(saved), strict=True
    ):
        dz = jnp.where(a > 0, da * (1 / (1 - rate)), 0)
        dmean = dvar = jnp.zeros_like(norm_residuals[2])
        dz, dscale, dbias = batch_norm_bwd(norm_residuals, (dz, dmean, dvar))
        da, dw, _ = dense_bwd(dense_residuals, dz)
        db = jnp.zeros_like(layer["b"])
        grads.append({"w": dw, "b": db, "scale": dscale, "bias": dbias})
    return (value, new_state), grads[::-1]
