"""Gradients in NumPy that write their arrays entry by entry, each with one mistake."""

import inspect

import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(0)
IMAGES, POOLED = RNG.standard_normal((2, 4, 6)), RNG.standard_normal((2, 2, 3))
SCALES = RNG.standard_normal((4, 6))
ROWS, TARGETS = RNG.standard_normal((8, 4)), RNG.standard_normal((8, 3))
FLAT = RNG.standard_normal(4 * 5 + 5 + 5 * 3)


def line_of(comment):
    """`file:line` of the mistake that a comment tells."""
    module = inspect.getmodule(line_of)
    assert module is not None
    lines = inspect.getsource(module).splitlines()
    (line,) = (n for n, own in enumerate(lines, 1) if own.endswith(f"# wrong: {comment}"))
    return f"{__file__}:{line}"


def loss_of_pooling(scales, images):
    h = jnp.sin(images * scales)
    largest = h.reshape(2, 2, 2, 3, 2).max((2, 4))
    return jnp.sum((largest - POOLED) ** 2)


def without_the_two(scales, images):
    h = np.sin(images * scales)
    largest, dh = np.zeros_like(POOLED), np.zeros_like(h)
    places = [(n, i, j) for n in range(2) for i in range(2) for j in range(3)]
    for n, i, j in places:
        largest[n, i, j] = h[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max()
    d = largest - POOLED  # wrong: the two of the square
    for n, i, j in places:
        window = h[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        d_window = dh[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        d_window[window == window.max()] += d[n, i, j]
    return loss_of_pooling(scales, images), (dh * np.cos(images * scales) * images).sum(axis=0)


def in_jax_without_the_two(scales, images):
    h = jnp.sin(images * scales)
    largest, dh = jnp.zeros(POOLED.shape), jnp.zeros_like(h)
    places = [(i, j) for i in range(2) for j in range(3)]
    for i, j in places:
        window = h[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        largest = largest.at[:, i, j].set(window.max((1, 2)))
    d = largest - POOLED  # wrong: the two, in jax
    for i, j in places:
        window = h[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        is_largest = window == largest[:, i, j, None, None]
        dh = dh.at[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].add(is_largest * d[:, i, j, None, None])
    return loss_of_pooling(scales, images), (dh * jnp.cos(images * scales) * images).sum(axis=0)


def parts(flat):
    return flat[:20].reshape(4, 5), flat[20:25], flat[25:].reshape(5, 3)


def loss_of_parts(flat, rows):
    w, b, v = parts(flat)
    return jnp.mean((jnp.tanh(rows @ w + b) @ v - TARGETS) ** 2)


def with_a_wrong_slope(flat, rows):
    w, b, v = parts(flat)
    a = np.tanh(rows @ w + b)
    d = 2 * (a @ v - TARGETS) / TARGETS.size
    gradient = np.zeros_like(flat)
    dw, db, dv = parts(gradient)
    dv += a.T @ d
    dz = d @ v.T * (1 - a)  # wrong: the slope of tanh
    dw += rows.T @ dz
    db += dz.sum(axis=0)
    return loss_of_parts(flat, rows), gradient
