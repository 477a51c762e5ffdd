"""Loops over blocks of rows, which XLA's CPU needs where it would do better by itself elsewhere."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["in_blocks", "in_halves"]

_ENTRIES = 32_768
"""How many entries make a block: 128 KiB of float32, a part of the L2 cache."""


def in_blocks(
    f: Callable[..., tuple[jax.Array | None, Any]],
    first: jax.Array,
    *rest: jax.Array,
    rows: int | None = None,
) -> tuple[jax.Array | None, Any]:
    """Computes f(first, *rest) block by block, where f treats each row alone and sums over rows.

    On a CPU, XLA writes intermediate results of such an f to memory, where a loop over blocks keeps
    them in the cache. Accelerators fuse the whole, and are better off with f itself.

    Args:
        f: `f(first, *rest) -> (out, sums over the rows)`. `out` is None, or an array just like
            `first`, which takes its place block by block, without memory of its own where nothing
            else needs `first`.
        first: rows, (n, ...).
        rest: further rows, (n, ...).
        rows: how many rows a block has at most; where None, as many as have 32,768 entries.

    Returns:
        What f returns: `out` of all rows, or None, and the sums.
    """
    n = first.shape[0]
    most = max(1, _ENTRIES // max(1, math.prod(first.shape[1:])) if rows is None else rows)
    if n < 2 * most:
        return f(first, *rest)
    count = -(-n // most)
    block = n // count

    def step(start: Any, size: int, state: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        result, totals = state
        out, sums = f(*(lax.dynamic_slice_in_dim(x, start, size) for x in (result, *rest)))
        if out is not None:
            result = lax.dynamic_update_slice_in_dim(result, out, start, axis=0)
        return result, jax.tree.map(jnp.add, totals, sums)

    out, sums = jax.eval_shape(f, first, *rest)
    state = first, jax.tree.map(jnp.zeros_like, sums)
    state = lax.fori_loop(0, count, lambda i, state: step(i * block, block, state), state)
    if count * block < n:
        state = step(count * block, n - count * block, state)
    result, totals = state
    return None if out is None else result, totals


def in_halves(f: Callable[[jax.Array], Any], x: jax.Array) -> Any:
    """Computes f(x), on a CPU of either half of the rows in a loop; f treats each row alone.

    There XLA computes an elementwise result again in each kernel that reads it, be it a
    convolution taken term by term. What a loop reads and returns it writes to memory instead. An
    odd number of rows, and what is narrower than float32, has no loop.

    Args:
        f: of rows (n, ...) to a tree of arrays (n, ...), or (0, ...).
        x: rows, (n, ...).
    """
    if len(x) % 2 or jnp.finfo(x.dtype).bits < 32:
        return f(x)

    def on_cpu(x: jax.Array) -> Any:
        out = lax.map(f, x.reshape(2, len(x) // 2, *x.shape[1:]))
        return jax.tree.map(lambda both: both.reshape(-1 if both.size else 0, *both.shape[2:]), out)

    return lax.platform_dependent(x, cpu=on_cpu, default=f)
