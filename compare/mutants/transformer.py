"""A block of a transformer (pre-norm, gated feed-forward) with one table for tokens in and out.

B batch, T time, C channels, H hidden. dname is the derivative of the loss with respect to name. The
norm is RMSNorm (Zhang & Sennrich 2019), the feed-forward SwiGLU (Shazeer 2020), the table tied
(Press & Wolf 2017).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

CHANNELS, HIDDEN, TOKENS, EPSILON = 4, 5, 7, 1e-3
Arrays = tuple[jax.Array, ...]


def make(seed: int) -> tuple[Any, ...]:
    """Draws a table, positions, a block, and 3 texts of 6 tokens: (params, tokens)."""
    rng = np.random.default_rng(seed)
    params = {
        "table": normal(rng, TOKENS, CHANNELS, scale=0.8),
        "positions": normal(rng, 5, CHANNELS, scale=0.5),
        "scale": 1 + normal(rng, CHANNELS, scale=0.3),
        "value": normal(rng, CHANNELS, HIDDEN, scale=0.7),
        "gate": normal(rng, CHANNELS, HIDDEN, scale=0.7),
        "down": normal(rng, HIDDEN, CHANNELS, scale=0.7),
    }
    return params, jnp.asarray(rng.integers(TOKENS, size=(3, 6)))


def loss(params: Any, tokens: jax.Array) -> jax.Array:
    """Computes the mean cross-entropy of each next token."""
    before, after = tokens[:, :-1], tokens[:, 1:]
    h = params["table"][before] + params["positions"]
    r = jnp.sqrt(jnp.mean(h**2, axis=-1, keepdims=True) + EPSILON)
    n = h / r * params["scale"]
    h = h + (n @ params["value"]) * jax.nn.silu(n @ params["gate"]) @ params["down"]
    logits = jax.nn.log_softmax(h @ params["table"].T)
    return -jnp.take_along_axis(logits, after[..., None], axis=-1).mean()


def norm_bwd(dn: jax.Array, h: jax.Array, r: jax.Array, scale: jax.Array) -> Arrays:
    """dh = (g − y mean(g y)) / r with y = h / r and g = dn ⊙ scale; dscale = Σ dn ⊙ y."""
    y, g = h / r, dn * scale
    dh = (g - y * (g * y).mean(axis=-1, keepdims=True)) / r
    return dh, (dn * y).sum(axis=(0, 1))


def gate_bwd(dm: jax.Array, u: jax.Array, z: jax.Array) -> Arrays:
    """du = dm ⊙ silu z, dz = dm ⊙ u ⊙ s (1 + z (1 − s)), where m = u silu z and s = σ(z)."""
    s = 1 / (1 + jnp.exp(-z))
    return dm * z * s, dm * u * s * (1 + z * (1 - s))


def projections_bwd(du: jax.Array, dz: jax.Array, value: jax.Array, gate: jax.Array) -> jax.Array:
    """dn = du valueᵀ + dz gateᵀ."""
    return du @ value.T + dz @ gate.T


def around(dout: jax.Array, dnorm: jax.Array) -> jax.Array:
    """dh = dout + dnorm: the block stands beside a connection around it."""
    return dout + dnorm


def table_bwd(dread: jax.Array, dwritten: jax.Array) -> jax.Array:
    """The table reads the tokens and writes the logits: both gradients are added up."""
    return dread + dwritten


def rows_bwd(tokens: jax.Array, dh: jax.Array) -> jax.Array:
    """Adds the gradients of all places of a token to its row."""
    return jnp.zeros((TOKENS, CHANNELS), dh.dtype).at[tokens].add(dh)


def correct(
    params: Any,
    tokens: jax.Array,
    *,
    norm_bwd: Any = norm_bwd,
    gate_bwd: Any = gate_bwd,
    projections_bwd: Any = projections_bwd,
    around: Any = around,
    table_bwd: Any = table_bwd,
    rows_bwd: Any = rows_bwd,
    positions_bwd: Any = lambda dh: dh.sum(axis=0),
) -> tuple[Any, Any]:
    """Goes from the logits back through the block to the table."""
    before, after = tokens[:, :-1], tokens[:, 1:]
    h = params["table"][before] + params["positions"]
    r = jnp.sqrt(jnp.mean(h**2, axis=-1, keepdims=True) + EPSILON)
    n = h / r * params["scale"]
    u, z = n @ params["value"], n @ params["gate"]
    m = u * z / (1 + jnp.exp(-z))
    out = h + m @ params["down"]
    logits = out @ params["table"].T
    e = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    one = jax.nn.one_hot(after, TOKENS, dtype=p.dtype)

    dlogits = (p - one) / after.size
    dout = dlogits @ params["table"]
    du, dz = gate_bwd(dout @ params["down"].T, u, z)
    dn = projections_bwd(du, dz, params["value"], params["gate"])
    dnorm, dscale = norm_bwd(dn, h, r, params["scale"])
    dh = around(dout, dnorm)
    return -jnp.log((p * one).sum(axis=-1)).mean(), {
        "table": table_bwd(rows_bwd(before, dh), jnp.einsum("btv,btc->vc", dlogits, out)),
        "positions": positions_bwd(dh),
        "scale": dscale,
        "value": jnp.einsum("btc,bth->ch", n, du),
        "gate": jnp.einsum("btc,bth->ch", n, dz),
        "down": jnp.einsum("bth,btc->hc", m, dout),
    }


BLOCK = Original("transformer", loss, correct, make)
INPUTS = ("table", "positions")


@BLOCK.mutant("overwritten_not_accumulated", "table", aliases=("path_cut",))
def tied_table_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """The gradient of the logits' side is written over that of the tokens' side."""
    return correct(*inputs, table_bwd=lambda dread, dwritten: dwritten)  # bug


@BLOCK.mutant("path_cut", *INPUTS, aliases=("overwritten_not_accumulated",))
def connection_around_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """dh is what comes through the block, without what goes around it."""
    return correct(*inputs, around=lambda dout, dnorm: dnorm)  # bug


@BLOCK.mutant("normalisation_terms_missing", *INPUTS, aliases=("path_cut",))
def root_mean_square_as_a_constant(*inputs: Any) -> tuple[Any, Any]:
    """dh = g / r: that r depends on h is forgotten."""

    def constant(dn: jax.Array, h: jax.Array, r: jax.Array, scale: jax.Array) -> Arrays:
        return dn * scale / r, (dn * h / r).sum(axis=(0, 1))  # bug

    return correct(*inputs, norm_bwd=constant)


@BLOCK.mutant("constant_factor", *INPUTS, aliases=("wrong_value",))
def sum_for_the_mean_in_the_norm(*inputs: Any) -> tuple[Any, Any]:
    """dh = (g − y Σ g y) / r: the mean over the channels is a sum on the way back."""

    def summed(dn: jax.Array, h: jax.Array, r: jax.Array, scale: jax.Array) -> Arrays:
        y, g = h / r, dn * scale
        dh = (g - y * (g * y).sum(axis=-1, keepdims=True)) / r  # bug
        return dh, (dn * y).sum(axis=(0, 1))

    return correct(*inputs, norm_bwd=summed)


@BLOCK.mutant("scale_omitted", *INPUTS, aliases=("missing_factor",))
def scale_left_out_of_the_norm(*inputs: Any) -> tuple[Any, Any]:
    """dn goes through the norm without the scale of its channels."""

    def unscaled(dn: jax.Array, h: jax.Array, r: jax.Array, scale: jax.Array) -> Arrays:
        y = h / r
        dh = (dn - y * (dn * y).mean(axis=-1, keepdims=True)) / r  # bug
        return dh, (dn * y).sum(axis=(0, 1))

    return correct(*inputs, norm_bwd=unscaled)


@BLOCK.mutant("wrong_derivative", *INPUTS, "gate", "scale", aliases=("wrong_activation",))
def swish_without_its_second_term(*inputs: Any) -> tuple[Any, Any]:
    """σ(z) + z silu(z) for the slope, another function's: it is σ(z) (1 + z (1 − σ(z)))."""

    def short(dm: jax.Array, u: jax.Array, z: jax.Array) -> Arrays:
        s = 1 / (1 + jnp.exp(-z))
        return dm * z * s, dm * u * (s + z * s * z)  # bug

    return correct(*inputs, gate_bwd=short)


@BLOCK.mutant("wrong_activation", *INPUTS, "gate", "scale", aliases=("wrong_derivative",))
def sigmoid_for_swish(*inputs: Any) -> tuple[Any, Any]:
    """The gate is differentiated as a plain GLU's, σ (1 − σ)."""

    def plain(dm: jax.Array, u: jax.Array, z: jax.Array) -> Arrays:
        s = 1 / (1 + jnp.exp(-z))
        return dm * z * s, dm * u * s * (1 - s)  # bug

    return correct(*inputs, gate_bwd=plain)


@BLOCK.mutant("missing_activation_derivative", *INPUTS, "gate", "scale")
def swish_left_out(*inputs: Any) -> tuple[Any, Any]:
    """dz = dm ⊙ u: the gate's activation has no derivative."""

    def linear(dm: jax.Array, u: jax.Array, z: jax.Array) -> Arrays:
        return dm * z / (1 + jnp.exp(-z)), dm * u  # bug

    return correct(*inputs, gate_bwd=linear)


@BLOCK.mutant("path_cut", *INPUTS, "scale", aliases=("overwritten_not_accumulated",))
def gate_path_cut(*inputs: Any) -> tuple[Any, Any]:
    """The norm's output is read by the values and by the gate; dn comes from the values alone."""
    return correct(*inputs, projections_bwd=lambda du, dz, value, gate: du @ value.T)  # bug


@BLOCK.mutant("bias_averaged", "positions", aliases=("constant_factor", "extra_batch_mean"))
def positions_averaged(*inputs: Any) -> tuple[Any, Any]:
    """A position's gradient is the mean over the texts that have it, and not their sum."""
    return correct(*inputs, positions_bwd=lambda dh: dh.mean(axis=0))  # bug


@BLOCK.mutant("overwritten_not_accumulated", "table")
def repeated_tokens_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """.set in place of .add: of a token's places one is left."""

    def overwritten(tokens: jax.Array, dh: jax.Array) -> jax.Array:
        return jnp.zeros((TOKENS, CHANNELS), dh.dtype).at[tokens].set(dh)  # bug

    return correct(*inputs, rows_bwd=overwritten)


ORIGINALS = (BLOCK,)
