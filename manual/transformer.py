"""A transformer (Vaswani et al. 2017), pre-norm (Xiong et al. 2020), its backward pass written out.

It is a classifier of images, whose patches are the steps of a sequence, or a language model of
tokens. With h the sequence (batch, T, D), each block computes

    h ← h + attention(layer_norm(h)) W_o + b_o,    h ← h + gelu(layer_norm(h) W_1 + b_1) W_2 + b_2,

with the queries and keys turned by their positions (`rotary`). A last layer_norm follows.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from manual import initializers
from manual.rules import losses
from manual.rules._blocks import in_blocks
from manual.rules.activations import gelu_bwd, gelu_fwd
from manual.rules.attention.attention import attention_bwd, attention_fwd
from manual.rules.attention.rotary import rotary_bwd, rotary_fwd
from manual.rules.dense import dense_bwd, dense_fwd
from manual.rules.embedding import embedding_bwd, embedding_fwd
from manual.rules.layer_norm import layer_norm_bwd, layer_norm_fwd
from manual.rules.linear_cross_entropy import linear_cross_entropy_bwd, linear_cross_entropy_fwd
from manual.rules.rule import Rule
from manual.rules.shapes import residual_bwd, residual_fwd

__all__ = ["Params", "init", "loss", "loss_and_grad", "patches", "predict"]

Params = dict[str, Any]
Layer = dict[str, jax.Array]
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
    """Draws the parameters.

    Args:
        key: one key.
        n_in: how many numbers a patch has, or how many tokens there are.
        width: D.
        depth: how many blocks.
        n_out: how many logits.
        tokens: whether the sequence is one of tokens.
        tied: whether the table of the tokens is the last layer's weight too, which needs
            n_out = n_in.
        initializer: of the weights; biases are zero, scales one.
        dtype: of all parameters.

    Returns:
        `{"embed": {"w", "b"} or {"table"}, "blocks": [{"norm", "qkv", "out", "norm2", "up",
        "down"}], "norm": {"scale", "bias"}, "head": {"w", "b"}}`, without "head" where tied.

    Raises:
        ValueError: if a size is not positive, or the two tied sizes differ.
    """
    if min(n_in, width, depth, n_out) < 1:
        raise ValueError(f"sizes must be positive, got {(n_in, width, depth, n_out)}")
    if tied and not (tokens and n_in == n_out):
        raise ValueError(f"a tied table needs tokens, as many as logits; got {n_in} and {n_out}")
    draw = initializers.by_name(initializer)
    keys = iter(jax.random.split(key, 4 * depth + 2))

    def layer(a: int, b: int) -> Layer:
        return {"w": draw(next(keys), (a, b), dtype), "b": jnp.zeros(b, dtype)}

    def norm() -> Layer:
        return {"scale": jnp.ones(width, dtype), "bias": jnp.zeros(width, dtype)}

    embed = {"table": layer(n_in, width)["w"]} if tokens else layer(n_in, width)
    blocks = [
        {
            "norm": norm(),
            "qkv": layer(width, 3 * width),
            "out": layer(width, width),
            "norm2": norm(),
            "up": layer(width, 4 * width),
            "down": layer(4 * width, width),
        }
        for _ in range(depth)
    ]
    params = {"embed": embed, "blocks": blocks, "norm": norm()}
    return params if tied else params | {"head": layer(width, n_out)}


def patches(x: jax.Array, size: int) -> jax.Array:
    """Cuts images into patches: (batch, height, width) -> (batch, patches, size²), row by row."""
    batch, height, width = x.shape
    x = x.reshape(batch, height // size, size, width // size, size).swapaxes(2, 3)
    return x.reshape(batch, height * width // size**2, size**2)


Pullback = Callable[..., Any]
"""From the cotangent of what a piece of the network gave to those of what it took."""


def _dense(x: jax.Array, p: Layer) -> tuple[jax.Array, Pullback]:
    y, kept = dense_fwd(x, p["w"], p["b"])

    def back(dy: jax.Array) -> tuple[jax.Array, Layer]:
        dx, dw, db = dense_bwd(kept, dy)
        return dx, {"w": dw, "b": db}

    return y, back


def _norm(x: jax.Array, p: Layer) -> tuple[jax.Array, Pullback]:
    y, kept = layer_norm_fwd(x, p["scale"], p["bias"])

    def back(dy: jax.Array) -> tuple[jax.Array, Layer]:
        dx, dscale, dbias = layer_norm_bwd(kept, dy)
        return dx, {"scale": dscale, "bias": dbias}

    return y, back


_ROWS = 512
"""How many rows of 4 D numbers there are at once on a CPU (measured; see `_gelu_dense`)."""


def _gelu_dense(z: jax.Array, p: Layer) -> tuple[jax.Array, Pullback]:
    """gelu(z) W + b, of which z alone is kept: gelu(z) is computed again for dW, as is its slope.

    On a CPU in a loop over rows. Outside of one XLA would compute each once, and keep it.
    """
    y, _ = dense_fwd(gelu_fwd(z)[0], p["w"], p["b"])

    def of_rows(z: jax.Array, dy: jax.Array) -> tuple[jax.Array, Layer]:
        u, gelu_residuals = gelu_fwd(z)
        du, dw, db = dense_bwd((u, p["w"], p["b"]), dy)
        return gelu_bwd(gelu_residuals, du)[0], {"w": dw, "b": db}

    def back(dy: jax.Array) -> tuple[jax.Array, Layer]:
        found: tuple[Any, Layer] = lax.platform_dependent(
            z.reshape(-1, z.shape[-1]),
            dy.reshape(-1, dy.shape[-1]),
            cpu=functools.partial(in_blocks, of_rows, rows=_ROWS),
            default=lambda *rows: of_rows(*lax.optimization_barrier(rows)),
        )
        return found[0].reshape(z.shape), found[1]

    return y, back


def _attention(qkv: jax.Array, heads: int, causal: bool) -> tuple[jax.Array, Pullback]:
    """From [q, k, v] (batch, T, 3 D) to the output of all heads side by side (batch, T, D)."""
    batch, steps, width = qkv.shape
    q, k, v = jnp.moveaxis(qkv.reshape(batch, steps, 3, heads, width // (3 * heads)), 2, 0)
    at = jnp.arange(steps)
    (q, q_kept), (k, k_kept) = rotary_fwd(q, at), rotary_fwd(k, at)
    out, kept = attention_fwd(q, k, v, causal=causal)

    def back(dy: jax.Array) -> jax.Array:
        dq, dk, dv, _, _ = attention_bwd(kept, dy.reshape(out.shape), causal=causal)
        parts = [rotary_bwd(q_kept, dq)[0], rotary_bwd(k_kept, dk)[0], dv]
        return jnp.stack(parts, axis=2).reshape(qkv.shape)

    return out.reshape(batch, steps, width // 3), back


def _block(h: jax.Array, p: Params, heads: int, causal: bool) -> tuple[jax.Array, Pullback]:
    a, norm_back = _norm(h, p["norm"])
    qkv, qkv_back = _dense(a, p["qkv"])
    o, attention_back = _attention(qkv, heads, causal)
    branch, out_back = _dense(o, p["out"])
    h, first = residual_fwd(h, branch)
    m, norm2_back = _norm(h, p["norm2"])
    z, up_back = _dense(m, p["up"])
    branch, down_back = _gelu_dense(z, p["down"])
    h, second = residual_fwd(h, branch)

    def back(dh: jax.Array) -> tuple[jax.Array, Params]:
        dh, dbranch = residual_bwd(second, dh)
        dz, ddown = down_back(dbranch)
        dm, dup = up_back(dz)
        through, dnorm2 = norm2_back(dm)
        dh, dbranch = residual_bwd(first, dh + through)
        do, dout = out_back(dbranch)
        da, dqkv = qkv_back(attention_back(do))
        through, dnorm = norm_back(da)
        grads = {"norm": dnorm, "qkv": dqkv, "out": dout}
        return dh + through, grads | {"norm2": dnorm2, "up": dup, "down": ddown}

    return h, back


def _encode(params: Params, x: jax.Array, heads: int, causal: bool) -> tuple[jax.Array, Pullback]:
    """The last layer_norm's result, (batch, T, D)."""
    embed = params["embed"]
    if "table" in embed:
        h, table_kept = embedding_fwd(embed["table"], x)
        embed_back = lambda dh: {"table": embedding_bwd(table_kept, dh)[0]}  # noqa: E731
    else:
        h, dense_back = _dense(x, embed)
        embed_back = lambda dh: dense_back(dh)[1]  # noqa: E731
    backs = []
    for p in params["blocks"]:
        h, back = _block(h, p, heads, causal)
        backs.append(back)
    h, norm_back = _norm(h, params["norm"])

    def back(dh: jax.Array) -> Params:
        dh, dnorm = norm_back(dh)
        blocks = []
        for block_back in reversed(backs):
            dh, grads = block_back(dh)
            blocks.append(grads)
        return {"embed": embed_back(dh), "blocks": blocks[::-1], "norm": dnorm}

    return h, back


def predict(
    params: Params, x: jax.Array, *, heads: int, causal: bool = False, patch: int = 4
) -> jax.Array:
    """Computes the logits: of each image, from the mean over its patches, or of each token.

    Shapes: x (batch, height, width) -> (batch, n_out), or tokens (batch, T) -> (batch, T, n_out).
    """
    of_tokens = "table" in params["embed"]
    h, _ = _encode(params, x if of_tokens else patches(x, patch), heads, causal)
    if "head" not in params:
        return h @ params["embed"]["table"].T
    return _dense(h if of_tokens else h.mean(axis=1), params["head"])[0]


def loss(
    params: Params,
    batch: Batch,
    *,
    heads: int,
    causal: bool = False,
    patch: int = 4,
    loss: str | Rule[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> jax.Array:
    """Computes the loss of batch = (x, targets), a scalar: the first half of `loss_and_grad`.

    Args:
        params: as `init` makes them.
        batch: images (batch, height, width) and what the loss asks for, or tokens (batch, T) and
            the tokens that follow them.
        heads: how many heads of attention, a divisor of the width with an even quotient.
        causal: whether a step sees none that comes later.
        patch: how many pixels a patch has on a side.
        loss: of images: the name of a loss, or a rule of (logits, targets). Tokens have the fused
            `linear_cross_entropy`.

    Raises:
        ValueError: if there is no loss of that name.
    """
    settings = {"heads": heads, "causal": causal, "patch": patch, "loss": loss}
    return loss_and_grad(params, batch, **settings)[0]


def loss_and_grad(
    params: Params,
    batch: Batch,
    *,
    heads: int,
    causal: bool = False,
    patch: int = 4,
    loss: str | Rule[..., jax.Array] = "softmax_cross_entropy_with_integer_labels",
) -> tuple[jax.Array, Params]:
    """Computes the loss and its gradient with respect to the parameters, by backpropagation.

    A block is h + f(h) twice, so dh reaches its input undiminished and once more through f: with
    dbranch = dh, first through W_2, gelu, W_1 and layer_norm, then through W_o, attention, the
    rotations, W_qkv and layer_norm (`residual_bwd`, `dense_bwd`, `gelu_bwd`, `layer_norm_bwd`,
    `attention_bwd`, `rotary_bwd`). The mean over T patches gives each dh/T. A tied table has two
    uses, rows of the input and columns of the logits, and the sum of both gradients
    (`embedding_bwd`, `linear_cross_entropy_bwd`).

    The arguments are those of `loss`.

    Returns:
        What `jax.value_and_grad` of `loss` returns: the loss, and a tree like `params`.

    Raises:
        ValueError: if there is no loss of that name.
    """
    x, targets = batch
    if "table" in params["embed"]:
        h, back = _encode(params, x, heads, causal)
        head = params.get("head")
        w, b = (params["embed"]["table"].T, None) if head is None else (head["w"], head["b"])
        value, kept = linear_cross_entropy_fwd(h, w, targets, b)
        dh, dw, _, db = linear_cross_entropy_bwd(kept, jnp.ones_like(value))
        grads = back(dh)
        if head is None:
            grads["embed"]["table"] = grads["embed"]["table"] + dw.T
            return value, grads
        return value, grads | {"head": {"w": dw, "b": db}}

    criterion = losses.by_name(loss)
    h, back = _encode(params, patches(x, patch), heads, causal)
    logits, head_back = _dense(h.mean(axis=1), params["head"])
    value, loss_residuals = criterion.fwd(logits, targets)
    dlogits, _ = criterion.bwd(loss_residuals, jnp.ones_like(value))
    dmean, dhead = head_back(dlogits)
    steps = h.shape[1]
    return value, back(jnp.broadcast_to(dmean[:, None] / steps, h.shape)) | {"head": dhead}
