"""Scaled dot-product attention (Vaswani et al. 2017), whose memory grows as the length.

Legend: b example, h head, t query, s key; T queries and S keys of K entries, values of V entries.
H heads of queries share G heads of keys and values, R = H/G each (Ainslie et al. 2023); G = H is
ordinary attention, G = 1 has one head of keys for all (Shazeer 2019).

The probabilities P have T S entries a head. They are never there at once: what is kept is the
output and one number a row, the log-sum-exp, from which a block of rows is rebuilt when it is
needed (Rabe & Staats 2021; Dao et al. 2022).
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from manual.rules.attention import _blocks as blocks
from manual.rules.rule import Rule

__all__ = ["attention", "attention_bwd", "attention_fwd"]

Kept = tuple[
    jax.Array, jax.Array, jax.Array, jax.Array | None, jax.Array | None, jax.Array, jax.Array
]
"""q, k, v, bias, mask, the output, and the log-sum-exp of each row, (batch, T, H)."""


def attention_fwd(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    soft_cap: float | None = None,
) -> tuple[jax.Array, Kept]:
    """O = P v,  P = softmax(Z) by rows,  Z = c tanh(scale q kᵀ / c) + bias, −∞ where masked.

    `scale` is 1/√K where None; c is `soft_cap` (Gemma Team 2024, §2), without which
    Z = scale q kᵀ + bias. Every example and head is on its own. A row without any key to look at is
    0, and so is its gradient.

    Shapes: q (batch, T, H, K), k (batch, S, G, K), v (batch, S, G, V), G dividing H, one dtype;
    bias (batch or 1, H or 1, T or 1, S), added to the scores, or None; mask (batch, S) of booleans,
    False for a key that nobody looks at, or None -> O (batch, T, H, V). With `causal`, query t
    looks at the keys 0 to t. What else a query may not look at is −∞ in the bias.

    Raises:
        AssertionError: if shapes or dtypes are not these.
        ValueError: if the heads cannot be shared out, the bias does not fit, there is no key, or
            soft_cap is not positive.
    """
    chex.assert_rank([q, k, v], 4)
    chex.assert_type([k, v], q.dtype)
    batch, queries, heads, _ = q.shape
    keys, groups = k.shape[1:3]
    chex.assert_shape(
        [k, v], [(batch, keys, groups, q.shape[3]), (batch, keys, groups, v.shape[3])]
    )
    if groups < 1 or heads % groups:
        raise ValueError(f"the {groups} heads of keys must divide the {heads} heads of queries")
    if soft_cap is not None and not soft_cap > 0:
        raise ValueError(f"soft_cap must be positive, got {soft_cap}")
    if bias is not None:
        chex.assert_rank(bias, 4)
        sizes = zip(bias.shape, (batch, heads, queries, keys), strict=True)
        if not all(got in (1, full) for got, full in sizes) or bias.shape[3] != keys:
            raise ValueError(
                f"bias must be (batch or 1, H or 1, T or 1, S) of {(batch, heads, queries, keys)}, "
                f"got {bias.shape}"
            )
        chex.assert_type(bias, q.dtype)
    if mask is not None:
        chex.assert_shape(mask, (batch, keys))
        chex.assert_type(mask, bool)
    factor = q.shape[3] ** -0.5 if scale is None else scale
    forward = functools.partial(_forward, causal=causal, scale=factor, soft_cap=soft_cap)
    computed: Any = functools.partial(blocks.by_platform, forward, causal=causal)
    placed = jax.typeof(q).sharding
    if placed.mesh.explicit_axes:  # A block has rows of several devices' parts, if time is cut.
        of_rows = NamedSharding(placed.mesh, PartitionSpec(*placed.spec[:3], None))
        computed = jax.sharding.auto_axes(computed, out_sharding=((of_rows, of_rows), None))
    (out, log_total), _ = computed((q, k, v), bias, mask)
    return out, (q, k, v, bias, mask, out, log_total[..., 0])


def attention_bwd(
    residuals: Kept,
    do: jax.Array,
    *,
    causal: bool = False,
    scale: float | None = None,
    soft_cap: float | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array, Any, None]:
    """dv = Pᵀ dO,  dZ = P ⊙ (dP − D),  dq = scale dA k,  dk = scale dAᵀ q,  dbias = Σ dZ.

    With A = scale q kᵀ before the cap, and dP = dO vᵀ. For one row, P = softmax(Z) has
    ∂P_s/∂Z_s′ = P_s (1[s = s′] − P_s′), so

        dZ_s = P_s (dP_s − Σ_s′ P_s′ dP_s′),

    and the sum is D = Σ_s P_s Σ_v dO_v v_sv = Σ_v dO_v O_v, one number a row that needs no P
    (Dao et al. 2022, §B.2). The cap has ∂Z/∂A = 1 − tanh²(A/c), so dA = dZ ⊙ (1 − tanh²). A masked
    score is −∞ whatever A is, and its P is 0.

    P is rebuilt block by block as e^(Z − L), L the log-sum-exp that is kept. A key's gradient is a
    sum over all rows, of every head that shares it; a bias that is the same for several rows, heads
    or examples has the sum over these.
    """
    q, k, v, bias, mask, out, log_total = residuals
    factor = q.shape[3] ** -0.5 if scale is None else scale
    backward = functools.partial(_backward, causal=causal, scale=factor, soft_cap=soft_cap)
    arrays = q, k, v, out, log_total[..., None], do
    (dq, dk, dv), dbias = blocks.by_platform(backward, arrays, bias, mask, causal=causal)
    return dq, dk, dv, dbias, None


attention = Rule(attention_fwd, attention_bwd)


def _forward(
    plan: blocks.Plan,
    arrays: tuple[jax.Array, ...],
    bias: jax.Array | None,
    mask: jax.Array | None,
    *,
    causal: bool,
    scale: float,
    soft_cap: float | None,
) -> tuple[tuple[jax.Array, jax.Array], None]:
    """The output and the log-sum-exp of each row, (batch, T, H, 1)."""
    q, k, v = arrays
    every_key, every_value = blocks.heads_first(k), blocks.heads_first(v)
    rows = blocks.split(q, plan), blocks.split_bias(bias, plan)

    def block(part: blocks.Part, at: Any) -> tuple[jax.Array, jax.Array]:
        start, (queries, bias) = at
        seen = every_key[:, :, : part.keys], bias, mask
        z, _ = blocks.scores(queries, *seen, start if causal else None, scale, soft_cap)
        # A row of −∞ alone has no largest score; its exponentials are 0, and so is its output.
        largest = jnp.max(z, axis=-1, keepdims=True)
        largest = jnp.where(largest == -jnp.inf, 0, largest)
        p = jnp.exp(z - largest)
        total = p.sum(axis=-1, keepdims=True)
        out = blocks.product(p.astype(v.dtype), every_value[:, :, : part.keys], (4,), (2,))
        out = out / jnp.where(total == 0, 1, total)
        log_total = jnp.where(total == 0, jnp.inf, largest + jnp.log(total))
        return out.astype(q.dtype), log_total

    pieces = [
        lax.scan(lambda _, at, part=part: (None, block(part, at)), None, part.of(plan, rows))[1]
        for part in plan.parts
    ]
    out, log_total = (
        blocks.join(jnp.concatenate(piece), plan) for piece in zip(*pieces, strict=True)
    )
    return (out, log_total), None


def _backward(
    plan: blocks.Plan,
    arrays: tuple[jax.Array, ...],
    bias: jax.Array | None,
    mask: jax.Array | None,
    *,
    causal: bool,
    scale: float,
    soft_cap: float | None,
) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
    """dq, dk, dv; and dbias."""
    q, k, v, out, log_total, do = arrays
    wide = jnp.promote_types(q.dtype, jnp.float32)
    every_key, every_value = blocks.heads_first(k), blocks.heads_first(v)
    rows = (blocks.split(q, plan), blocks.split_bias(bias, plan))
    rows = (*rows, *(blocks.split(x, plan) for x in (log_total, out, do)))

    def block(part: blocks.Part, sums: tuple[jax.Array, jax.Array], at: Any) -> Any:
        start, (queries, bias, log_total, out, do) = at
        keys, values = every_key[:, :, : part.keys], every_value[:, :, : part.keys]
        at = keys, bias, mask, start if causal else None, scale, soft_cap
        z, slope = blocks.scores(queries, *at)
        p = jnp.exp(z - log_total)
        dp = blocks.product(do, values, (4,), (3,))
        along = jnp.sum(do.astype(wide) * out.astype(wide), axis=-1, keepdims=True)
        dz = p * (dp - along)
        da = (dz if slope is None else dz * slope).astype(q.dtype)
        # (features, keys): so the scores are not transposed, which is what would take time.
        dk = blocks.product(queries, da, (2, 3), (2, 3))
        dv = blocks.product(do, p.astype(q.dtype), (2, 3), (2, 3))
        dq = (scale * blocks.product(da, keys, (4,), (2,))).astype(q.dtype)
        return (sums[0] + dk, sums[1] + dv), (dq, blocks.sum_like(dz, bias))

    dk, dv = (jnp.zeros_like(x.mT, wide) for x in (every_key, every_value))
    pieces, dbias = [], []
    for part in plan.parts:
        first = dk[..., : part.keys], dv[..., : part.keys]
        step = functools.partial(block, part)
        sums, (dq, d_block) = lax.scan(step, first, part.of(plan, rows))
        pieces.append(dq)
        dk, dv = (x.at[..., : part.keys].set(new) for x, new in zip((dk, dv), sums, strict=True))
        if bias is not None:
            dbias.append(blocks.widen(d_block, every_key.shape[2]))
    dq = blocks.join(jnp.concatenate(pieces), plan)
    dk, dv = (blocks.heads_last(x.mT) for x in (scale * dk, dv))
    whole = None if bias is None else blocks.join_bias(jnp.concatenate(dbias), bias)
    return (dq, dk.astype(k.dtype), dv.astype(v.dtype)), whole
