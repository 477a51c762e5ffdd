"""A pre-norm transformer in the idiom of jax.nn, differentiated by `jax.grad`.

It is a classifier of images, whose patches are the steps of a sequence, or a language model of
tokens. The parameters, names and arguments are those of `manual.transformer`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from autodiff.functions import INITIALIZERS, LOSSES, choose
from autodiff.layers import dense, layer_norm
from autodiff.sequences import attention, linear_cross_entropy, rotary

__all__ = ["Params", "init", "loss", "loss_and_grad", "predict"]

Params = dict[str, Any]
Batch = tuple[jax.Array, jax.Array]


def init(
    key: jax.Array,
    n_in: int,
    width: int,
    depth: int,
    n_out: int,
    *,
    tokens: bool = False,
    tied: bool = False,
    initializer: str = "lecun_normal",
    dtype: Any = jnp.float32,
) -> Params:
    """Draws the parameters; the arguments and the result are those of `manual.transformer.init`.

    Raises:
        ValueError: if a size is not positive, or the two tied sizes differ.
    """
    if any(size < 1 for size in (n_in, width, depth, n_out)):
        raise ValueError(f"sizes must be positive, got {(n_in, width, depth, n_out)}")
    if tied and (not tokens or n_in != n_out):
        raise ValueError(f"a tied table needs tokens, as many as logits; got {n_in} and {n_out}")
    weights = choose("initializer", INITIALIZERS, initializer)
    shapes = [(n_in, width)]
    for _ in range(depth):
        shapes += [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    shapes.append((width, n_out))
    keys = jax.random.split(key, len(shapes))
    first, *middle, last = [
        {"w": weights(k, shape, dtype), "b": jnp.zeros(shape[1], dtype)}
        for k, shape in zip(keys, shapes, strict=True)
    ]
    norm = {"scale": jnp.ones(width, dtype), "bias": jnp.zeros(width, dtype)}
    blocks = [
        dict(zip(("qkv", "out", "up", "down"), middle[i : i + 4], strict=True))
        | {"norm": dict(norm), "norm2": dict(norm)}
        for i in range(0, len(middle), 4)
    ]
    embed = {"table": first["w"]} if tokens else first
    params = {"embed": embed, "blocks": blocks, "norm": norm}
    return params if tied else params | {"head": last}


def _encode(params: Params, x: jax.Array, heads: int, causal: bool) -> jax.Array:
    embed = params["embed"]
    h = embed["table"][x] if "table" in embed else dense(x, **embed)
    batch, steps, width = h.shape
    at = jnp.arange(steps)
    for p in params["blocks"]:
        qkv = dense(layer_norm(h, **p["norm"]), **p["qkv"])
        q, k, v = (
            a.reshape(batch, steps, heads, width // heads) for a in jnp.split(qkv, 3, axis=-1)
        )
        o = attention(rotary(q, at), rotary(k, at), v, causal=causal)
        h = h + dense(o.reshape(batch, steps, width), **p["out"])
        h = h + dense(jax.nn.gelu(dense(layer_norm(h, **p["norm2"]), **p["up"])), **p["down"])
    return layer_norm(h, **params["norm"])


def _patches(x: jax.Array, size: int) -> jax.Array:
    rows = [
        x[:, i : i + size, j : j + size].reshape(len(x), -1)
        for i in range(0, x.shape[1], size)
        for j in range(0, x.shape[2], size)
    ]
    return jnp.stack(rows, axis=1)


def predict(
    params: Params, x: jax.Array, *, heads: int, causal: bool = False, patch: int = 4
) -> jax.Array:
    """Computes the logits: of each image, from the mean over its patches, or of each token.

    Shapes: x (batch, height, width) -> (batch, n_out), or tokens (batch, T) -> (batch, T, n_out).
    """
    if "table" not in params["embed"]:
        h = _encode(params, _patches(x, patch), heads, causal)
        return dense(h.mean(axis=1), **params["head"])
    h = _encode(params, x, heads, causal)
    return dense(h, **params["head"]) if "head" in params else h @ params["embed"]["table"].T


def loss(
    params: Params,
    batch: Batch,
    *,
    heads: int,
    causal: bool = False,
    patch: int = 4,
    loss: str | Callable[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """Computes the loss of batch = (x, targets), a scalar.

    The arguments are those of `manual.transformer.loss`, but that a loss may be any function of
    (logits, targets).

    Raises:
        ValueError: if there is no loss of that name.
    """
    x, targets = batch
    if "table" not in params["embed"]:
        logits = predict(params, x, heads=heads, causal=causal, patch=patch)
        return choose("loss", LOSSES, loss)(logits, targets)
    h = _encode(params, x, heads, causal)
    head = params.get("head", {"w": params["embed"]["table"].T, "b": None})
    return linear_cross_entropy(h, head["w"], targets, head["b"])


loss_and_grad = jax.value_and_grad(loss)
