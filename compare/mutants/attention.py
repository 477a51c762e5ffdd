"""Causal self-attention with a residual connection.

B batch, T time, C channels. dname is the derivative of the loss with respect to name.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]


def make(seed: int) -> tuple[Any, ...]:
    """Draws an embedding, one head, a read-out and four sequences of five: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {
        "embed": normal(rng, 7, 6, scale=0.6),
        "wq": normal(rng, 6, 3, scale=0.8),
        "wk": normal(rng, 6, 3, scale=0.8),
        "wv": normal(rng, 6, 8, scale=0.6),
        "wo": normal(rng, 8, 6, scale=0.6),
        "head": normal(rng, 6, 2, scale=0.6),
    }
    return params, normal(rng, 4, 5, 7), normal(rng, 4, 5, 2)


def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of causal attention (Vaswani et al. 2017, §3.2.1)."""
    h = x @ params["embed"]
    q, k, v = h @ params["wq"], h @ params["wk"], h @ params["wv"]
    scores = jnp.einsum("btd,bsd->bts", q, k) / math.sqrt(q.shape[-1])
    causal = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    p = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
    out = h + (p @ v) @ params["wo"]
    return jnp.mean((out @ params["head"] - y) ** 2)


def masked_softmax(scores: jax.Array) -> jax.Array:
    """Computes the softmax of each row, with 0 above the diagonal."""
    scores = jnp.where(jnp.tri(scores.shape[-1], dtype=bool), scores, -jnp.inf)
    e = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def transpose(a: jax.Array) -> jax.Array:
    """Transposes the last two axes."""
    return a.swapaxes(-1, -2)


def softmax_bwd(dp: jax.Array, p: jax.Array) -> jax.Array:
    """dscores_ts = p_ts (dp_ts − Σ_r p_tr dp_tr)."""
    return p * (dp - (p * dp).sum(axis=-1, keepdims=True))


def scores_bwd(ds: jax.Array, q: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array]:
    """dq = ds k / √d, dk = dsᵀ q / √d."""
    scale = math.sqrt(q.shape[-1])
    return ds @ k / scale, transpose(ds) @ q / scale


def mix_bwd(dmixed: jax.Array, p: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """dp = dmixed vᵀ, dv = pᵀ dmixed."""
    return dmixed @ transpose(v), transpose(p) @ dmixed


def uses_of_h(dskip: Any, dq: Any, dk: Any, dv: Any) -> jax.Array:
    """dh = dskip + dq + dk + dv: h is used four times."""
    return dskip + dq + dk + dv


def correct(
    params: Any,
    x: jax.Array,
    y: jax.Array,
    *,
    softmax_bwd: Any = softmax_bwd,
    scores_bwd: Any = scores_bwd,
    mix_bwd: Any = mix_bwd,
    uses_of_h: Any = uses_of_h,
) -> tuple[Any, Any]:
    """Goes from the head back through the mixture, the softmax and the three projections."""
    h = x @ params["embed"]
    q, k, v = h @ params["wq"], h @ params["wk"], h @ params["wv"]
    p = masked_softmax(q @ transpose(k) / math.sqrt(q.shape[-1]))
    out = h + p @ v @ params["wo"]
    error = out @ params["head"] - y

    dprediction = 2 * error / error.size
    dout = dprediction @ params["head"].T
    dp, dv = mix_bwd(dout @ params["wo"].T, p, v)
    dq, dk = scores_bwd(softmax_bwd(dp, p), q, k)
    dh = uses_of_h(dout, dq @ params["wq"].T, dk @ params["wk"].T, dv @ params["wv"].T)
    return (error**2).mean(), {
        "embed": weight_bwd(x, dh),
        "wq": weight_bwd(h, dq),
        "wk": weight_bwd(h, dk),
        "wv": weight_bwd(h, dv),
        "wo": weight_bwd(p @ v, dout),
        "head": weight_bwd(out, dprediction),
    }


def weight_bwd(a: jax.Array, dz: jax.Array) -> jax.Array:
    """dw = Σ over batch and time of aᵀ dz."""
    return jnp.einsum("bti,bto->io", a, dz)


ATTENTION = Original("attention", loss, correct, make)


@ATTENTION.mutant("scale_omitted", "embed", "wq", "wk")
def scale_left_out(*inputs: Any) -> tuple[Any, Any]:
    """1/√d is in the forward pass and not in the backward pass."""
    return correct(*inputs, scores_bwd=lambda ds, q, k: (ds @ k, transpose(ds) @ q))  # bug


@ATTENTION.mutant("diagonal_softmax_jacobian", "embed", "wq", "wk")
def softmax_as_if_elementwise(*inputs: Any) -> tuple[Any, Any]:
    """p (1 − p), the diagonal of the Jacobian; that the weights compete is lost."""
    return correct(*inputs, softmax_bwd=lambda dp, p: dp * p * (1 - p))  # bug


@ATTENTION.mutant("softmax_wrong_axis", "embed", "wq", "wk")
def softmax_sum_over_queries(*inputs: Any) -> tuple[Any, Any]:
    """Σ p dp runs over the queries, axis −2, and softmax normalised over the keys."""

    def over_queries(dp: jax.Array, p: jax.Array) -> jax.Array:
        return p * (dp - (p * dp).sum(axis=-2, keepdims=True))  # bug

    return correct(*inputs, softmax_bwd=over_queries)


@ATTENTION.mutant("missing_activation_derivative", "embed", "wq", "wk")
def softmax_derivative_left_out(*inputs: Any) -> tuple[Any, Any]:
    """dscores = dp under the mask: the softmax is taken for the identity."""

    def identity(dp: jax.Array, p: jax.Array) -> jax.Array:
        return jnp.where(jnp.tri(p.shape[-1], dtype=bool), dp, 0)  # bug

    return correct(*inputs, softmax_bwd=identity)


@ATTENTION.mutant("transposed", "embed", "wk")
def scores_not_transposed_for_the_keys(*inputs: Any) -> tuple[Any, Any]:
    """dk = ds q, copied from dq = ds k; T × T is square."""

    def copied(ds: jax.Array, q: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array]:
        scale = math.sqrt(q.shape[-1])
        return ds @ k / scale, ds @ q / scale  # bug

    return correct(*inputs, scores_bwd=copied)


@ATTENTION.mutant("transposed", "embed", "wv")
def weights_not_transposed_for_the_values(*inputs: Any) -> tuple[Any, Any]:
    """dv = p dmixed: gradients flow to later positions, as in the forward pass, not back."""
    return correct(*inputs, mix_bwd=lambda dmixed, p, v: (dmixed @ transpose(v), p @ dmixed))  # bug


@ATTENTION.mutant("path_cut", "embed", aliases=("overwritten_not_accumulated",))
def residual_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The sum over the three projections, without the connection that goes around them."""
    return correct(*inputs, uses_of_h=lambda dskip, dq, dk, dv: dq + dk + dv)  # bug


@ATTENTION.mutant("overwritten_not_accumulated", "embed", aliases=("path_cut",))
def query_gradient_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """dh = ... for the queries, dh = ... again for the keys, and += only from then on."""

    def assigned_twice(dskip: Any, dq: Any, dk: Any, dv: Any) -> jax.Array:
        dh = dq
        dh = dk  # bug
        dh += dv
        return dh + dskip

    return correct(*inputs, uses_of_h=assigned_twice)


@ATTENTION.mutant("sign_flipped", "embed", "wq", "wk")
def softmax_terms_swapped(*inputs: Any) -> tuple[Any, Any]:
    """p (Σ p dp − dp): the two terms of softmax's derivative change places."""
    return correct(*inputs, softmax_bwd=lambda dp, p: -softmax_bwd(dp, p))  # bug


@ATTENTION.mutant(None, "embed", "wq", "wk", aliases=("wrong_value",))
def mask_forgotten_when_recomputed(params: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any]:
    """The weights are recomputed for the backward pass to save memory, without the causal mask."""
    h = x @ params["embed"]
    q, k = h @ params["wq"], h @ params["wk"]
    e = jnp.exp(q @ transpose(k) / math.sqrt(q.shape[-1]))  # bug
    unmasked = e / e.sum(axis=-1, keepdims=True)  # bug
    return correct(params, x, y, softmax_bwd=lambda dp, p: softmax_bwd(dp, unmasked))


ORIGINALS = (ATTENTION,)
