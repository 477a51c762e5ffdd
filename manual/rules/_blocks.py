"""Blocks of rows that stay in the cache: how the CPU takes what is summed over rows."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["in_blocks"]

_ENTRIES = 32_768
"""How many entries of a row array make a block: 128 KiB of float32, a part of the L2 cache."""


def in_blocks(
    f: Callable[..., tuple[jax.Array | None, Any]], first: jax.Array, *rest: jax.Array
) -> tuple[jax.Array | None, Any]:
    """f(first, *rest) for an f that treats each row alone and sums over the rows, block by block.

    On a CPU, XLA writes intermediate results of such an f to memory, where a loop over blocks keeps
    them in the cache. Accelerators fuse the whole, and are better off with f itself.

    Args:
        f: `f(first, *rest) -> (out, sums over the rows)`. `out` is None, or an array just like
            `first`, which takes its place block by block, without memory of its own where nothing
            else needs `first`.
        first: rows, (n, ...); its size decides how many rows are a block.
        rest: further rows, (n, ...).
    """
    n = first.shape[0]
    block = max(1, _ENTRIES // max(1, math.prod(first.shape[1:])))
    count = n // block
    if count < 2:
        return f(first, *rest)

    def step(start: Any, size: int, state: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        rows, totals = state
        out, sums = f(*(lax.dynamic_slice_in_dim(x, start, size) for x in (rows, *rest)))
        if out is not None:
            rows = lax.dynamic_update_slice_in_dim(rows, out, start, axis=0)
        return rows, jax.tree.map(jnp.add, totals, sums)

    out, sums = jax.eval_shape(f, first, *rest)
    state = first, jax.tree.map(lambda total: jnp.zeros(total.shape, total.dtype), sums)
    state = lax.fori_loop(0, count, lambda i, state: step(i * block, block, state), state)
    if count * block < n:
        state = step(count * block, n - count * block, state)
    rows, totals = state
    return None if out is None else rows, totals
