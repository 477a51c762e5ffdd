"""Holds the losses on which the methods of checking a gradient are timed, on random numbers.

Dimensions: B batch, T steps or tokens, V vocabulary, D width, H heads.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.benchmark.checkers import Case

__all__ = ["SUBJECTS", "CheckSubject", "case", "subjects"]


class CheckSubject(NamedTuple):
    """A loss to differentiate.

    Attributes:
        name: the kind of model, with its sizes.
        batch: the number of examples.
        draw: `draw(rng) -> (loss, params, args)`, for `loss(params, *args)`.
    """

    name: str
    batch: int
    draw: Callable[[np.random.Generator], tuple[Callable[..., Any], Any, tuple[Any, ...]]]


def subjects(*, quick: bool = False) -> tuple[CheckSubject, ...]:
    """Lists the subjects; the three smallest if quick."""
    return SUBJECTS[:3] if quick else SUBJECTS


def case(name: str, factor: str, seed: str) -> list[Case]:
    """Draws the subject of this name, and a candidate whose gradient is off by a factor.

    The arguments are words of a command line.
    """
    (subject,) = (subject for subject in SUBJECTS if subject.name == name)
    loss, params, args = subject.draw(np.random.default_rng(int(seed)))

    def candidate(params: Any, *args: Any) -> Any:
        value, pullback = jax.vjp(lambda p: loss(p, *args), params)
        (grads,) = pullback(jnp.ones_like(value))
        return value, jax.tree.map(lambda g: float(factor) * g, grads)

    return [Case(name, loss, candidate, params, args, right=float(factor) == 1.0)]


def _normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> jax.Array:
    return jnp.asarray(scale * rng.standard_normal(shape), jnp.float32)


def _whole(rng: np.random.Generator, below: int, *shape: int) -> jax.Array:
    return jnp.asarray(rng.integers(below, size=shape), jnp.int32)


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)
    return -jnp.mean(chosen)


def _mlp(sizes: tuple[int, ...], batch: int, rng: np.random.Generator) -> Any:
    """Draws dense layers with ReLU in between, under the cross-entropy."""
    params = [
        {"w": _normal(rng, n, m, scale=n**-0.5), "b": _normal(rng, m, scale=0.1)}
        for n, m in pairwise(sizes)
    ]

    def loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
        for layer in params[:-1]:
            x = jax.nn.relu(x @ layer["w"] + layer["b"])
        return _cross_entropy(x @ params[-1]["w"] + params[-1]["b"], labels)

    return loss, params, (_normal(rng, batch, sizes[0]), _whole(rng, sizes[-1], batch))


def _rnn(steps: int, batch: int, rng: np.random.Generator) -> Any:
    """Draws a recurrent network with tanh as a scan, under the mean square of its errors."""
    n_in, hidden, n_out = 8, 32, 4
    params = {
        "wx": _normal(rng, n_in, hidden, scale=n_in**-0.5),
        "wh": _normal(rng, hidden, hidden, scale=hidden**-0.5),
        "b": _normal(rng, hidden, scale=0.1),
        "wo": _normal(rng, hidden, n_out, scale=hidden**-0.5),
    }

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            h = jnp.tanh(x @ params["wx"] + h @ params["wh"] + params["b"])
            return h, h @ params["wo"]

        start = jnp.zeros((x.shape[0], hidden), x.dtype)
        _, outputs = jax.lax.scan(step, start, x.swapaxes(0, 1))  # (T, B, n_out)
        return jnp.mean((outputs.swapaxes(0, 1) - y) ** 2)

    return loss, params, (_normal(rng, batch, steps, n_in), _normal(rng, batch, steps, n_out))


def _unrolled(layers: int, batch: int, rng: np.random.Generator) -> Any:
    """Draws dense layers with tanh, one after the other, under the mean square of the last."""

    def loss(params: Any, x: jax.Array) -> jax.Array:
        for layer in params:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        return jnp.mean(x**2)

    stacked = _stack(layers, rng)
    params = [jax.tree.map(lambda p, i=i: p[i], stacked) for i in range(layers)]
    return loss, params, (_normal(rng, batch, _D),)


def _scanned(layers: int, batch: int, rng: np.random.Generator) -> Any:
    """Draws the same layers, as one scan over their parameters."""

    def loss(params: Any, x: jax.Array) -> jax.Array:
        def step(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
            return jnp.tanh(x @ layer["w"] + layer["b"]), None

        return jnp.mean(jax.lax.scan(step, x, params)[0] ** 2)

    return loss, _stack(layers, rng), (_normal(rng, batch, _D),)


_D = 64
"""The width of the stacks of dense layers."""


def _stack(layers: int, rng: np.random.Generator) -> dict[str, jax.Array]:
    """Draws weights and biases under which the gradient reaches the first of 512 layers."""
    return {
        "w": _normal(rng, layers, _D, _D, scale=_D**-0.5),
        "b": _normal(rng, layers, _D, scale=0.01),
    }


def _transformer(
    layers: int, d: int, tokens: int, vocabulary: int, batch: int, rng: np.random.Generator
) -> Any:
    """Draws a causal transformer: layer-norm first, four heads, GELU; it predicts the next token.

    Its parameters are a list of layers, unrolled.
    """
    heads = 4
    params = {
        "embedding": _normal(rng, vocabulary, d),
        "position": _normal(rng, tokens, d),
        "layers": [_transformer_layer(d, rng) for _ in range(layers)],
        "out": _normal(rng, d, vocabulary, scale=d**-0.5),
    }

    def attention(layer: Any, x: jax.Array) -> jax.Array:
        q, k, v = (
            part.reshape(*x.shape[:2], heads, d // heads)
            for part in jnp.split(x @ layer["qkv"], 3, axis=-1)
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(d // heads)
        before = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        weights = jax.nn.softmax(jnp.where(before, scores, -jnp.inf))
        return jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape) @ layer["proj"]

    def loss(params: Any, words: jax.Array) -> jax.Array:
        x = params["embedding"][words[:, :-1]] + params["position"]
        for layer in params["layers"]:
            x = x + attention(layer, _layer_norm(x, layer["scale1"], layer["shift1"]))
            hidden = _layer_norm(x, layer["scale2"], layer["shift2"]) @ layer["w1"] + layer["b1"]
            x = x + jax.nn.gelu(hidden) @ layer["w2"] + layer["b2"]
        return _cross_entropy(x @ params["out"], words[:, 1:])

    return loss, params, (_whole(rng, vocabulary, batch, tokens + 1),)


def _transformer_layer(d: int, rng: np.random.Generator) -> dict[str, jax.Array]:
    return {
        "scale1": 1 + _normal(rng, d, scale=0.1),
        "shift1": _normal(rng, d, scale=0.1),
        "qkv": _normal(rng, d, 3 * d, scale=d**-0.5),
        "proj": _normal(rng, d, d, scale=d**-0.5),
        "scale2": 1 + _normal(rng, d, scale=0.1),
        "shift2": _normal(rng, d, scale=0.1),
        "w1": _normal(rng, d, 4 * d, scale=d**-0.5),
        "b1": _normal(rng, 4 * d, scale=0.1),
        "w2": _normal(rng, 4 * d, d, scale=(4 * d) ** -0.5),
        "b2": _normal(rng, d, scale=0.1),
    }


def _layer_norm(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    return centred / jnp.sqrt(variance + 1e-5) * scale + shift


def _subject(name: str, draw: Callable[..., Any], *sizes: Any, batch: int) -> CheckSubject:
    return CheckSubject(name, batch, partial(draw, *sizes, batch))


SUBJECTS = (
    _subject("MLP 2-4-2", _mlp, (2, 4, 2), batch=8),
    _subject("MLP 784-128-64-10", _mlp, (784, 128, 64, 10), batch=64),
    _subject("RNN of 20 steps, a scan", _rnn, 20, batch=16),
    _subject("MLP 784-2048-2048-10", _mlp, (784, 2048, 2048, 10), batch=64),
    _subject("32 dense layers, unrolled", _unrolled, 32, batch=32),
    _subject("32 dense layers, a scan", _scanned, 32, batch=32),
    _subject("512 dense layers, a scan", _scanned, 512, batch=32),
    _subject("transformer of 2 layers, D 64", _transformer, 2, 64, 16, 50, batch=4),
    _subject("transformer of 6 layers, D 128", _transformer, 6, 128, 32, 50, batch=4),
)
"""Every subject; the three of `--quick` come first."""
