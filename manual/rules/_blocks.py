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


def in_blocks(f: Callable[..., tuple[Any, Any]], *rows: jax.Array) -> tuple[Any, Any]:
    """f(*rows) for an f that treats each row alone and then sums over the rows, block by block.

    On a CPU, XLA writes intermediate results of such an f to memory, where a loop over blocks keeps
    them in the cache. Accelerators fuse the whole, and are better off with f itself.

    Args:
        f: `f(*rows) -> (arrays with these rows, sums over the rows)`, two pytrees.
        rows: arrays (n, ...) of one n, the first of which decides how many rows are a block.
    """
    n = rows[0].shape[0]
    block = max(1, _ENTRIES // max(1, math.prod(rows[0].shape[1:])))
    count = n // block
    if count < 2:
        return f(*rows)

    def step(totals: Any, i: jax.Array):
        out, sums = f(*(lax.dynamic_slice_in_dim(x, i * block, block) for x in rows))
        return jax.tree.map(jnp.add, totals, sums), out

    _, sums = jax.eval_shape(f, *rows)
    zeros = jax.tree.map(lambda total: jnp.zeros(total.shape, total.dtype), sums)
    totals, stacked = lax.scan(step, zeros, jnp.arange(count))
    out = jax.tree.map(lambda x: x.reshape(count * block, *x.shape[2:]), stacked)
    if count * block == n:
        return out, totals
    tail, sums = f(*(x[count * block :] for x in rows))
    out = jax.tree.map(lambda head, tail: jnp.concatenate([head, tail]), out, tail)
    return out, jax.tree.map(jnp.add, totals, sums)
