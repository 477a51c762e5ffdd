"""Attention of several heads that share keys, with masks, whose weights are computed anew.

B batch, T time, G groups (heads of keys and values), R heads of queries on each, K size of a head.
dname is the derivative of the loss with respect to name. The forward pass keeps what each row of
scores adds up to, as total = log Σ eˢ, and the backward pass has the weights again from that, as
p = exp(s − total) (Dao et al. 2022).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

G, R, K, CAP = 2, 3, 6, 3.0
Arrays = tuple[jax.Array, ...]


def make(seed: int) -> tuple[Any, ...]:
    """Draws projections and 2 sequences of up to 5 steps: (params, x, lengths, y)."""
    rng = np.random.default_rng(seed)
    params = {
        "wq": normal(rng, 4, G * R * K, scale=0.9),
        "wk": normal(rng, 4, G * K, scale=0.9),
        "wv": normal(rng, 4, G * K, scale=0.9),
        "wo": normal(rng, G * R * K, 4, scale=0.4),
    }
    return params, normal(rng, 2, 5, 4), jnp.asarray([5, 3]), normal(rng, 2, 5, 4)


def loss(params: Any, x: jax.Array, lengths: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of causal attention with a soft cap and grouped heads.

    Sources: Vaswani et al. (2017); Ainslie et al. (2023) for the groups; Gemma (2024) for the cap.
    """
    q = (x @ params["wq"]).reshape(*x.shape[:2], G, R, K)
    k = (x @ params["wk"]).reshape(*x.shape[:2], G, K)
    v = (x @ params["wv"]).reshape(*x.shape[:2], G, K)
    s = jnp.einsum("btgrk,bsgk->bgrts", q, k) / math.sqrt(K)
    s = CAP * jnp.tanh(s / CAP)
    steps = jnp.arange(x.shape[1])
    seen = (steps[:, None] >= steps) & (steps < lengths[:, None, None])
    p = jax.nn.softmax(jnp.where(seen[:, None, None], s, -jnp.inf), axis=-1)
    out = jnp.einsum("bgrts,bsgk->btgrk", p, v).reshape(*x.shape[:2], -1)
    return jnp.mean((out @ params["wo"] - y) ** 2)


def seen_by(x: jax.Array, lengths: jax.Array) -> jax.Array:
    """Tells which keys each query sees: none that is later, and no padding; (B, 1, 1, T, T)."""
    steps = jnp.arange(x.shape[1])
    return ((steps[:, None] >= steps) & (steps < lengths[:, None, None]))[:, None, None]


def weights(s: jax.Array, seen: jax.Array, total: jax.Array) -> jax.Array:
    """Computes p = exp(s − total) where the mask lets through, and 0 elsewhere."""
    return jnp.where(seen, jnp.exp(s - total), 0)


def scores_bwd(p: jax.Array, dp: jax.Array, out: jax.Array, dout: jax.Array) -> jax.Array:
    """ds = p ⊙ (dp − D), where D = Σ dout ⊙ out of a query, which is Σ p dp."""
    d = (dout * out).sum(axis=-1, keepdims=True)
    return p * (dp - d)


def cap_bwd(ds: jax.Array, capped: jax.Array) -> jax.Array:
    """d = ds ⊙ (1 − (capped / cap)²): the caps in front of and inside the tanh cancel."""
    return ds * (1 - (capped / CAP) ** 2)


def products_bwd(ds: jax.Array, q: jax.Array, k: jax.Array) -> Arrays:
    """dq = ds k / √K, dk = dsᵀ q / √K, for every head of queries."""
    scale = math.sqrt(K)
    dq = jnp.einsum("bgrts,bsgk->bgrtk", ds, k) / scale
    return dq, jnp.einsum("bgrts,bgrtk->bgrsk", ds, q) / scale


def shared_bwd(d: jax.Array) -> jax.Array:
    """What R heads of queries share gets the sum of their gradients, (B, G, T, K)."""
    return d.sum(axis=2)


def apart(d: jax.Array) -> jax.Array:
    """Takes the heads of a row apart: (B, T, G R K) to (B, G, R, T, K)."""
    return d.reshape(*d.shape[:2], G, R, K).transpose(0, 2, 3, 1, 4)


def values_bwd(p: jax.Array, dout: jax.Array, v: jax.Array) -> Arrays:
    """dp = dout vᵀ, dv = pᵀ dout."""
    dp = jnp.einsum("bgrtk,bsgk->bgrts", dout, v)
    return dp, jnp.einsum("bgrts,bgrtk->bgrsk", p, dout)


def correct(
    params: Any,
    x: jax.Array,
    lengths: jax.Array,
    y: jax.Array,
    *,
    weights: Any = weights,
    values_bwd: Any = values_bwd,
    scores_bwd: Any = scores_bwd,
    cap_bwd: Any = cap_bwd,
    products_bwd: Any = products_bwd,
    shared_bwd: Any = shared_bwd,
    apart: Any = apart,
) -> tuple[Any, Any]:
    """Goes forward with the totals kept, then back with the weights computed anew."""
    b, t, _ = x.shape
    q = (x @ params["wq"]).reshape(b, t, G, R, K).transpose(0, 2, 3, 1, 4)
    k, v = (x @ params["wk"]).reshape(b, t, G, K), (x @ params["wv"]).reshape(b, t, G, K)
    s = CAP * jnp.tanh(jnp.einsum("bgrtk,bsgk->bgrts", q, k) / math.sqrt(K) / CAP)
    seen = seen_by(x, lengths)
    total = jnp.log(jnp.where(seen, jnp.exp(s), 0).sum(axis=-1, keepdims=True))
    out = jnp.einsum("bgrts,bsgk->bgrtk", jnp.where(seen, jnp.exp(s - total), 0), v)
    joined = out.transpose(0, 3, 1, 2, 4).reshape(b, t, -1)
    error = joined @ params["wo"] - y

    dprediction = 2 * error / error.size
    dout = apart(dprediction @ params["wo"].T)
    p = weights(s, seen, total)
    dp, dv = values_bwd(p, dout, v)
    dq, dk = products_bwd(cap_bwd(scores_bwd(p, dp, out, dout), s), q, k)
    dk, dv = shared_bwd(dk), shared_bwd(dv)
    return (error**2).mean(), {
        "wq": jnp.einsum("btc,bgrtk->cgrk", x, dq).reshape(4, -1),
        "wk": jnp.einsum("btc,bgtk->cgk", x, dk).reshape(4, -1),
        "wv": jnp.einsum("btc,bgtk->cgk", x, dv).reshape(4, -1),
        "wo": jnp.einsum("btc,bto->co", joined, dprediction),
    }


HEADS = Original("heads", loss, correct, make)


@HEADS.mutant("mask_missing", "wq", "wk", "wv", aliases=("wrong_value",))
def mask_forgotten_in_the_recomputation(*inputs: Any) -> tuple[Any, Any]:
    """The weights are computed anew without the mask."""
    return correct(*inputs, weights=lambda s, seen, total: jnp.exp(s - total))  # bug


@HEADS.mutant("mask_missing", "wq", "wk", "wv", aliases=("wrong_value",))
def causal_mask_off_by_one(*inputs: Any) -> tuple[Any, Any]:
    """On the way back each query sees the step behind it too: tri with k=1."""

    def later(s: jax.Array, seen: jax.Array, total: jax.Array) -> jax.Array:
        lengths = inputs[2][:, None, None, None, None]
        own = jnp.tri(5, k=1, dtype=bool) & (jnp.arange(5) < lengths)  # bug
        return jnp.where(own, jnp.exp(s - total), 0)

    return correct(*inputs, weights=later)


@HEADS.mutant("mask_extra", "wq", "wk", "wv")
def diagonal_masked(*inputs: Any) -> tuple[Any, Any]:
    """No query sees itself on the way back: > where >= belongs."""

    def strictly(s: jax.Array, seen: jax.Array, total: jax.Array) -> jax.Array:
        before = jnp.arange(5)[:, None] > jnp.arange(5)  # bug
        return jnp.where(seen & before, jnp.exp(s - total), 0)

    return correct(*inputs, weights=strictly)


@HEADS.mutant("mask_missing", "wq", "wk", "wv", aliases=("wrong_value",))
def padding_not_masked(*inputs: Any) -> tuple[Any, Any]:
    """The causal mask is there on the way back, and the one of the padding is not."""

    def causal(s: jax.Array, seen: jax.Array, total: jax.Array) -> jax.Array:
        return jnp.where(jnp.tri(5, dtype=bool), jnp.exp(s - total), 0)  # bug

    return correct(*inputs, weights=causal)


@HEADS.mutant("softmax_wrong_axis", "wq", "wk", "wv", aliases=("wrong_value",))
def sum_over_the_wrong_axis(*inputs: Any) -> tuple[Any, Any]:
    """The weights are normalised anew, over the queries instead of the keys."""

    def over_queries(s: jax.Array, seen: jax.Array, total: jax.Array) -> jax.Array:
        e = jnp.where(seen, jnp.exp(s), 0)
        return e / (e.sum(axis=-2, keepdims=True) + 1e-9)  # bug

    return correct(*inputs, weights=over_queries)


@HEADS.mutant(None, "wq", "wk", "wv", aliases=("wrong_value",))
def maximum_subtracted_without_the_sum(*inputs: Any) -> tuple[Any, Any]:
    """exp(s − max) is taken for the weights: the division by their sum is left out."""

    def undivided(s: jax.Array, seen: jax.Array, total: jax.Array) -> jax.Array:
        top = jnp.where(seen, s, -jnp.inf).max(axis=-1, keepdims=True)
        return jnp.where(seen, jnp.exp(s - top), 0)  # bug

    return correct(*inputs, weights=undivided)


@HEADS.mutant("path_cut", "wq", "wk")
def d_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """ds = p ⊙ dp: D, the sum of dout ⊙ out, is not subtracted."""
    return correct(*inputs, scores_bwd=lambda p, dp, out, dout: p * dp)  # bug


@HEADS.mutant(None, "wq", "wk", aliases=("wrong_value",))
def d_of_the_output_alone(*inputs: Any) -> tuple[Any, Any]:
    """D = Σ out ⊙ out, where it is Σ dout ⊙ out."""

    def squared(p: jax.Array, dp: jax.Array, out: jax.Array, dout: jax.Array) -> jax.Array:
        return p * (dp - (out * out).sum(axis=-1, keepdims=True))  # bug

    return correct(*inputs, scores_bwd=squared)


@HEADS.mutant(None, "wq", "wk", aliases=("summed_wrongly",))
def d_summed_over_the_heads(*inputs: Any) -> tuple[Any, Any]:
    """D is one number for each query over all of its heads; each head has its own."""

    def over_heads(p: jax.Array, dp: jax.Array, out: jax.Array, dout: jax.Array) -> jax.Array:
        return p * (dp - (dout * out).sum(axis=(1, 2, -1), keepdims=True))  # bug

    return correct(*inputs, scores_bwd=over_heads)


@HEADS.mutant("missing_activation_derivative", "wq", "wk")
def cap_without_a_derivative(*inputs: Any) -> tuple[Any, Any]:
    """The soft cap is a tanh, and is passed as if it cut off nothing."""
    return correct(*inputs, cap_bwd=lambda ds, capped: ds)  # bug


@HEADS.mutant("wrong_derivative", "wq", "wk", aliases=("constant_factor", "wrong_value"))
def cap_not_divided_again(*inputs: Any) -> tuple[Any, Any]:
    """1 − capped², where the tanh is capped / cap."""
    return correct(*inputs, cap_bwd=lambda ds, capped: ds * (1 - capped**2))  # bug


@HEADS.mutant("constant_factor", "wq", "wk", aliases=("missing_factor", "scale_omitted"))
def scale_applied_twice(*inputs: Any) -> tuple[Any, Any]:
    """The scores' gradient is divided by √K, and so are dq and dk once more."""
    return correct(*inputs, cap_bwd=lambda ds, s: cap_bwd(ds, s) / math.sqrt(K))  # bug


@HEADS.mutant("scale_omitted", "wk", aliases=("constant_factor",))
def scale_for_the_queries_only(*inputs: Any) -> tuple[Any, Any]:
    """The queries were scaled and the keys were not, thinks the backward pass."""

    def unscaled_keys(ds: jax.Array, q: jax.Array, k: jax.Array) -> Arrays:
        dq = jnp.einsum("bgrts,bsgk->bgrtk", ds, k) / math.sqrt(K)
        return dq, jnp.einsum("bgrts,bgrtk->bgrsk", ds, q)  # bug

    return correct(*inputs, products_bwd=unscaled_keys)


@HEADS.mutant("summed_wrongly", "wk", "wv")
def heads_summed_the_wrong_way_round(*inputs: Any) -> tuple[Any, Any]:
    """Heads are taken for (R, G) instead of (G, R): every second one is summed, not neighbours."""

    def across(d: jax.Array) -> jax.Array:
        return d.reshape(2, R, G, 5, K).sum(axis=1)  # bug

    return correct(*inputs, shared_bwd=across)


@HEADS.mutant("overwritten_not_accumulated", "wk", "wv", aliases=("summed_wrongly",))
def one_head_of_each_group_kept(*inputs: Any) -> tuple[Any, Any]:
    """Keys and values get the gradient of the first of the three heads that share them."""
    return correct(*inputs, shared_bwd=lambda d: d[:, :, 0])  # bug


@HEADS.mutant("constant_factor", "wk", "wv")
def heads_averaged(*inputs: Any) -> tuple[Any, Any]:
    """Keys and values get the mean of the heads that share them."""
    return correct(*inputs, shared_bwd=lambda d: d.mean(axis=2))  # bug


@HEADS.mutant("wrong_places", "wq", "wk", "wv")
def heads_not_transposed_back(*inputs: Any) -> tuple[Any, Any]:
    """dout is reshaped to heads at once; the time axis stands between, which no shape tells."""
    return correct(*inputs, apart=lambda d: d.reshape(2, G, R, 5, K))  # bug


@HEADS.mutant("transposed", "wv", aliases=("wrong_places",))
def weights_not_transposed(*inputs: Any) -> tuple[Any, Any]:
    """dv = p dout, where pᵀ belongs: queries and keys are as many."""

    def forward_again(p: jax.Array, dout: jax.Array, v: jax.Array) -> Arrays:
        dp = jnp.einsum("bgrtk,bsgk->bgrts", dout, v)
        return dp, jnp.einsum("bgrts,bgrsk->bgrtk", p, dout)  # bug

    return correct(*inputs, values_bwd=forward_again)


ORIGINALS = (HEADS,)
