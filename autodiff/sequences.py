"""Layers of sequences in the idiom that people write them in, for `jax.grad`.

Batches are (batch, time, features). The names, arguments and results are those of the hand-derived
rules.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

__all__ = ["attention", "gru", "linear_cross_entropy", "lstm", "rnn", "rotary"]


def rnn(
    x: jax.Array,
    h0: jax.Array,
    w_x: jax.Array,
    w_h: jax.Array,
    b: jax.Array,
    lengths: jax.Array | None = None,
    *,
    activation: str = "tanh",
    reverse: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Runs the simple recurrent layer (Elman 1990).

    Shapes: x (batch, time, n_in), h0 (batch, n), w_x (n_in, n), w_h (n, n), b (n,), lengths
    (batch,) -> every state (batch, time, n), the last (batch, n).
    """
    f = getattr(jax.nn, activation)
    cell = lambda h, x: f(x @ w_x + h @ w_h + b)  # noqa: E731
    last, every = _scan(cell, h0, x, lengths, reverse)
    return every, last


def lstm(
    x: jax.Array,
    h0: jax.Array,
    c0: jax.Array,
    w_x: jax.Array,
    w_h: jax.Array,
    b: jax.Array,
    lengths: jax.Array | None = None,
    *,
    reverse: bool = False,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Runs long short-term memory (Hochreiter & Schmidhuber 1997).

    Shapes: x (batch, time, n_in), h0 and c0 (batch, n), w_x (n_in, 4 n), w_h (n, 4 n), b (4 n,),
    lengths (batch,) -> every h (batch, time, n), the last h and c (batch, n).
    """

    def cell(state: Any, x: jax.Array) -> Any:
        h, c = state
        i, f, g, o = jnp.split(x @ w_x + h @ w_h + b, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    (h, c), (every, _) = _scan(cell, (h0, c0), x, lengths, reverse)
    return every, h, c


def gru(
    x: jax.Array,
    h0: jax.Array,
    w_x: jax.Array,
    w_h: jax.Array,
    b: jax.Array,
    b_n: jax.Array,
    lengths: jax.Array | None = None,
    *,
    reset_after: bool = False,
    reverse: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Runs the gated recurrent unit (Cho et al. 2014), or the variant of cuDNN.

    Shapes: x (batch, time, n_in), h0 (batch, n), w_x (n_in, 3 n), w_h (n, 3 n), b (3 n,), b_n (n,),
    lengths (batch,) -> every state (batch, time, n), the last (batch, n).
    """
    n = h0.shape[-1]

    def cell(h: jax.Array, x: jax.Array) -> jax.Array:
        r, u, candidate = jnp.split(x @ w_x + b, 3, axis=-1)
        from_h = h @ w_h[:, : 2 * n]
        r, u = jax.nn.sigmoid(r + from_h[:, :n]), jax.nn.sigmoid(u + from_h[:, n:])
        if reset_after:
            candidate = jnp.tanh(candidate + r * (h @ w_h[:, 2 * n :] + b_n))
        else:
            candidate = jnp.tanh(candidate + (r * h) @ w_h[:, 2 * n :] + b_n)
        return u * h + (1 - u) * candidate

    last, every = _scan(cell, h0, x, lengths, reverse)
    return every, last


def _scan(
    cell: Callable[..., Any], state: Any, x: jax.Array, lengths: jax.Array | None, reverse: bool
) -> tuple[Any, Any]:
    """The last state and every state; from its length on an example keeps its state."""

    def step(state: Any, at: Any) -> Any:
        t, x = at
        new = cell(state, x)
        if lengths is not None:
            new = jax.tree.map(lambda a, b: jnp.where((t < lengths)[:, None], a, b), new, state)
        return new, new

    times = jnp.arange(x.shape[1])
    last, every = lax.scan(step, state, (times, x.swapaxes(0, 1)), reverse=reverse)
    return last, jax.tree.map(lambda a: a.swapaxes(0, 1), every)


def attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    soft_cap: float | None = None,
) -> jax.Array:
    """Computes scaled dot-product attention (Vaswani et al. 2017).

    Shapes: q (batch, T, H, K), k (batch, S, G, K), v (batch, S, G, V), bias broadcast to (batch, H,
    T, S), mask (batch, S) -> (batch, T, H, V). A row without a key is 0.
    """
    repeats = q.shape[2] // k.shape[2]
    k, v = jnp.repeat(k, repeats, axis=2), jnp.repeat(v, repeats, axis=2)
    z = jnp.einsum("bthk,bshk->bhts", q, k) * (q.shape[3] ** -0.5 if scale is None else scale)
    if soft_cap is not None:
        z = soft_cap * jnp.tanh(z / soft_cap)
    if bias is not None:
        z = z + bias
    allowed = jnp.ones(z.shape[-2:], bool)
    if causal:
        allowed = jnp.tril(allowed)
    if mask is not None:
        allowed = allowed & mask[:, None, None, :]
    if not causal and mask is None:
        return jnp.einsum("bhts,bshk->bthk", jax.nn.softmax(z), v)
    # Where a row has no key, softmax would be NaN: there the scores are let through, and dropped.
    empty = ~allowed.any(axis=-1, keepdims=True)
    p = jax.nn.softmax(jnp.where(allowed | empty, z, -jnp.inf))
    return jnp.einsum("bhts,bshk->bthk", jnp.where(empty, 0, p), v)


def rotary(x: jax.Array, positions: jax.Array, *, base: float = 10_000.0) -> jax.Array:
    """Turns pairs of features by their position (Su et al. 2021), as complex numbers.

    Shapes: x (batch, T, heads, K), positions (T,) or (batch, T) -> like x.
    """
    half = x.shape[-1] // 2
    theta = base ** (-jnp.arange(half) / half)
    angle = positions[..., None, None] * theta
    wide = jnp.promote_types(x.dtype, jnp.float32)
    turned = lax.complex(x[..., :half].astype(wide), x[..., half:].astype(wide)) * jnp.exp(
        1j * angle
    )
    return jnp.concatenate([turned.real, turned.imag], axis=-1).astype(x.dtype)


def linear_cross_entropy(
    x: jax.Array,
    w: jax.Array,
    labels: jax.Array,
    b: jax.Array | None = None,
    *,
    label_smoothing: float = 0.0,
    ignored: int | None = None,
) -> jax.Array:
    """Computes the mean cross-entropy of the logits x w + b.

    Shapes: x (..., D), w (D, V), labels (...), b (V,) or None -> ().
    """
    logits = x @ w if b is None else x @ w + b
    classes = w.shape[1]
    if label_smoothing:
        targets = optax.losses.smooth_labels(jax.nn.one_hot(labels, classes), label_smoothing)
        losses = optax.losses.softmax_cross_entropy(logits, targets)
    else:
        safe = labels if ignored is None else jnp.where(labels == ignored, 0, labels)
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, safe)
    counts = jnp.ones(labels.shape, bool) if ignored is None else labels != ignored
    return jnp.sum(jnp.where(counts, losses, 0)) / jnp.maximum(counts.sum(), 1).astype(x.dtype)
