"""Blocks of rows of the scores: how attention never has all of them at once.

Inside, rows are n blocks of C: (n, batch, G, R, C, ...), and keys are (batch, G, S, ...).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

__all__ = [
    "Part",
    "Plan",
    "by_platform",
    "heads_first",
    "heads_last",
    "join",
    "join_bias",
    "plan",
    "product",
    "scores",
    "split",
    "split_bias",
    "sum_like",
    "widen",
]

ON_CPU, ELSEWHERE = 1_048_576, 67_108_864
"""How many scores a block has: 4 MiB of float32 on a CPU, in whose caches they stay (measured on
two cores: 0.9 to 1.0 of the time of 2 MiB, 0.8 to 1.0 of that of 8). There a block is of as few
heads as fill it, so that what it adds to the keys' sums is small beside it (measured for 16 heads
and 1,024 keys: 0.6 to 0.7 of the time that blocks of all heads take). An accelerator starts each
block anew, and needs larger ones (measured on an H200 for 128 heads and 2,048 keys, causal: an
eighth as many take 2.3 times as long)."""

_FEWEST_ROWS = 32
"""A block has as many, also where that makes more scores."""

_PARTS = 4
"""Into how many parts causal rows are cut. A part sees no key behind its last row, which leaves
5/8 of the scores to compute."""


class Part(NamedTuple):
    """Some blocks, first to last, and how many keys they see."""

    first: int
    last: int
    keys: int

    def of(self, plan: "Plan", rows: Any) -> tuple[jax.Array, Any]:
        """Returns, for each block of this part, the number of its first row, and its rows."""
        starts = jnp.arange(self.first, self.last) * plan.rows
        return starts, jax.tree.map(lambda x: x[self.first : self.last], rows)


class Plan(NamedTuple):
    """How the rows are cut: `blocks` blocks of `rows`, of G heads with R rows each for a query."""

    queries: int
    rows: int
    blocks: int
    groups: int
    repeats: int
    parts: Sequence[Part]


def plan(q: jax.Array, k: jax.Array, causal: bool, entries: int, fewest: int = 1) -> Plan:
    """Plans blocks of so many scores for q (batch, T, H, K) and k (batch, S, G, K).

    Args:
        q: the queries.
        k: the keys.
        causal: whether a row sees no key behind it.
        entries: how many scores a block has at most.
        fewest: how many blocks there are at least, if each has enough rows.

    Raises:
        ValueError: if there is no key.
    """
    batch, queries, heads, _ = q.shape
    keys, groups = k.shape[1:3]
    if keys == 0:
        raise ValueError("attention needs at least one key, got none")
    most = max(_FEWEST_ROWS, entries // max(1, batch * heads * keys))
    count = max(1, -(-queries // most), min(fewest, queries // _FEWEST_ROWS))
    rows = -(-queries // count)
    cuts = min(_PARTS, count) if causal else 1
    ends = [i * count // cuts for i in range(cuts + 1)]
    parts = [
        Part(ends[i], ends[i + 1], max(1, min(keys, ends[i + 1] * rows)) if causal else keys)
        for i in range(cuts)
    ]
    return Plan(queries, rows, count, groups, heads // groups, parts)


OfPlan = Callable[..., tuple[tuple[jax.Array, ...], jax.Array | None]]
"""`of_plan(plan, arrays, bias, mask) -> (arrays, dbias or None)`, of arrays (batch, ., ., .)."""


def by_platform(
    of_plan: OfPlan,
    arrays: tuple[jax.Array, ...],
    bias: jax.Array | None,
    mask: jax.Array | None,
    *,
    causal: bool,
) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
    """Computes what is the same in any blocks; which, is chosen when it is lowered.

    Args:
        of_plan: what it computes in the blocks of a plan.
        arrays: q (batch, T, H, K), k (batch, S, G, K) and others, each with heads of one or the
            other.
        bias: as `attention` has it.
        mask: as `attention` has it.
        causal: as `attention` has it.

    Raises:
        ValueError: if there is no key.
    """
    q, k, *_ = arrays
    on_cpu, elsewhere = (plan(q, k, causal, entries) for entries in (ON_CPU, ELSEWHERE))
    if on_cpu == elsewhere:
        return of_plan(on_cpu, arrays, bias, mask)

    def few_heads(arrays: tuple[jax.Array, ...], mask: jax.Array | None) -> tuple[jax.Array, ...]:
        own = plan(arrays[0], arrays[1], causal, ON_CPU, _PARTS if causal else 1)
        return of_plan(own, arrays, None, mask)[0]

    def by_heads(arrays: tuple[jax.Array, ...], bias: Any, mask: jax.Array | None) -> Any:
        return _few_heads_at_a_time(few_heads, arrays, mask), None

    # A bias may be shared by heads.
    of_cpu = by_heads if bias is None else functools.partial(of_plan, on_cpu)
    of_others = functools.partial(of_plan, elsewhere)
    return lax.platform_dependent(arrays, bias, mask, cpu=of_cpu, default=of_others)


def _few_heads_at_a_time(
    few_heads: Callable[..., tuple[jax.Array, ...]],
    arrays: tuple[jax.Array, ...],
    mask: jax.Array | None,
) -> tuple[jax.Array, ...]:
    """`few_heads` of n heads of keys, each of one example, at a time: (n, ., R or 1, .).

    As many as fill a block, or one. Where their number cannot be divided, zeros fill the last ones.
    """
    q, k, *_ = arrays
    batch, groups = k.shape[0], k.shape[2]
    one = q.shape[1] * q.shape[2] // groups * k.shape[1]
    most = max(1, ON_CPU // max(1, one))
    fewest = max(1, -(-batch * groups // most))
    times = next((t for t in range(fewest, 2 * fewest) if batch * groups % t == 0), fewest)
    n = -(-batch * groups // times)

    def apart(x: jax.Array) -> jax.Array:
        _, length, heads, features = x.shape
        x = x.reshape(batch, length, groups, heads // groups, features).transpose(0, 2, 1, 3, 4)
        return filled(x.reshape(batch * groups, length, heads // groups, features))

    def filled(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, times * n - batch * groups)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(times, n, *x.shape[1:])

    def together(x: jax.Array) -> jax.Array:
        x = x.reshape(times * n, *x.shape[2:])[: batch * groups]
        _, length, repeats, features = x.shape
        x = x.reshape(batch, groups, length, repeats, features).transpose(0, 2, 1, 3, 4)
        return x.reshape(batch, length, groups * repeats, features)

    masks = None if mask is None else filled(jnp.repeat(mask, groups, axis=0))
    results = lax.map(lambda own: few_heads(*own), (tuple(map(apart, arrays)), masks))
    return tuple(map(together, results))


def split(x: jax.Array, p: Plan) -> jax.Array:
    """(batch, T, H, F) as (n, batch, G, R, C, F), with rows of zeros at the end."""
    batch, features = x.shape[0], x.shape[3]
    x = jnp.pad(x, ((0, 0), (0, p.blocks * p.rows - p.queries), (0, 0), (0, 0)))
    x = x.reshape(batch, p.blocks, p.rows, p.groups, p.repeats, features)
    return x.transpose(1, 0, 3, 4, 2, 5)


def join(x: jax.Array, p: Plan) -> jax.Array:
    """The way back: (n, batch, G, R, C, F) as (batch, T, H, F)."""
    _, batch, groups, repeats, _, features = x.shape
    x = x.transpose(1, 0, 4, 2, 3, 5)
    return x.reshape(batch, p.blocks * p.rows, groups * repeats, features)[:, : p.queries]


def heads_first(x: jax.Array) -> jax.Array:
    """(batch, S, G, F) as (batch, G, S, F)."""
    return x.transpose(0, 2, 1, 3)


heads_last = heads_first


def split_bias(bias: jax.Array | None, p: Plan) -> jax.Array | None:
    """(batch, H, T, S) as (n, batch, G, R, C, S), where batch, H and T may be 1 each."""
    if bias is None:
        return None
    batch, heads, queries, keys = bias.shape
    groups, repeats = (1, 1) if heads == 1 else (p.groups, p.repeats)
    if queries == 1 and p.queries != 1:
        bias = bias.reshape(batch, groups, repeats, 1, keys)
        return jnp.broadcast_to(bias, (p.blocks, *bias.shape))
    bias = jnp.pad(bias, ((0, 0), (0, 0), (0, p.blocks * p.rows - queries), (0, 0)))
    bias = bias.reshape(batch, groups, repeats, p.blocks, p.rows, keys)
    return bias.transpose(3, 0, 1, 2, 4, 5)


def join_bias(dbias: jax.Array, bias: jax.Array) -> jax.Array:
    """What each block gives to the gradient of the bias, (n, batch, G, R, C, S), in its shape."""
    n, batch, groups, repeats, rows, keys = dbias.shape
    if bias.shape[2] == 1:
        return dbias.sum(axis=(0, 4)).reshape(bias.shape).astype(bias.dtype)
    dbias = dbias.transpose(1, 2, 3, 0, 4, 5).reshape(batch, groups * repeats, n * rows, keys)
    return dbias[:, :, : bias.shape[2]].astype(bias.dtype)


def sum_like(dz: jax.Array, bias: jax.Array | None) -> jax.Array | None:
    """dz summed over the axes along which the block's bias is the same."""
    if bias is None:
        return None
    axes = tuple(i for i, n in enumerate(bias.shape[:4]) if n == 1)
    return dz.sum(axis=axes, keepdims=True)


def widen(d_block: jax.Array, keys: int) -> jax.Array:
    """With zeros for the keys that a part does not see."""
    return jnp.pad(d_block, [(0, 0)] * 5 + [(0, keys - d_block.shape[5])])


def product(a: jax.Array, b: jax.Array, of_a: tuple[int, ...], of_b: tuple[int, ...]) -> jax.Array:
    """Σ over these axes, for each example and group on its own, in float32 at least."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    numbers = ((of_a, of_b), ((0, 1), (0, 1)))
    return lax.dot_general(a, b, numbers, preferred_element_type=wide)


def scores(
    queries: jax.Array,
    keys: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
    start: jax.Array | None,
    scale: float,
    soft_cap: float | None,
) -> tuple[jax.Array, jax.Array | None]:
    """Z of one block, and the slope of the cap, 1 − tanh², where there is one.

    Shapes: queries (batch, G, R, C, K), keys (batch, G, S, K), bias (.., S'), mask (batch, S') with
    S' ≥ S; start is the number of the first row where the rows are causal -> (batch, G, R, C, S).
    """
    if jnp.finfo(queries.dtype).bits < 32:
        z = scale * product(queries, keys, (4,), (3,))
    else:  # Fewer numbers to multiply; a narrow type would round them.
        z = product(scale * queries, keys, (4,), (3,))
    slope = None
    if soft_cap is not None:
        capped = jnp.tanh(z / soft_cap)
        z, slope = soft_cap * capped, (1 - capped) * (1 + capped)
    seen = keys.shape[2]
    if bias is not None:
        z = z + bias[..., :seen]
    if mask is not None:
        z = jnp.where(mask[:, None, None, None, :seen], z, -jnp.inf)
    if start is not None:
        row = start + jnp.arange(queries.shape[3])
        z = jnp.where(jnp.arange(seen) <= row[:, None], z, -jnp.inf)
    return z, slope
