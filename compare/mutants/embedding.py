"""Token embeddings: a table read by index, with positions, and a table used at both ends.

B batch, T time, C channels, V vocabulary. dname is the derivative of the loss with respect to name.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

VOCABULARY = 9
PADDING = 2


def make_classifier(seed: int) -> tuple[Any, ...]:
    """Draws a bag of embedded words and a read-out: (params, tokens, labels)."""
    rng = np.random.default_rng(seed)
    params: dict[str, Any] = {"table": normal(rng, VOCABULARY, 4), "positions": normal(rng, 5, 4)}
    params["out"] = {"w": normal(rng, 4, 3), "b": normal(rng, 3)}
    # 35 draws from 6 words: every word is repeated, and three never occur.
    tokens = jnp.asarray(rng.integers(6, size=(7, 5)), jnp.int32)
    return params, tokens, jnp.asarray(rng.integers(3, size=7), jnp.int32)


def classifier_loss(params: Any, tokens: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes the cross-entropy of words and positions through a tanh, averaged over time."""
    x = params["table"][tokens] + params["positions"]
    pooled = jnp.tanh(x).mean(axis=1)
    logits = pooled @ params["out"]["w"] + params["out"]["b"]
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1))


def table_bwd(table: jax.Array, tokens: jax.Array, dx: jax.Array) -> jax.Array:
    """dtable_v = Σ dx over the places where the token is v."""
    return jnp.zeros_like(table).at[tokens].add(dx)


def pool_bwd(dpooled: jax.Array, time: int) -> jax.Array:
    """da_t = dpooled / T: each of the T terms of a mean gets 1/T."""
    return jnp.repeat(dpooled[:, None, :], time, axis=1) / time


def positions_bwd(dx: jax.Array) -> jax.Array:
    """dpositions = Σ_batch dx: positions are the same in every example."""
    return dx.sum(axis=0)


def classifier(
    params: Any,
    tokens: jax.Array,
    labels: jax.Array,
    *,
    table_bwd: Any = table_bwd,
    pool_bwd: Any = pool_bwd,
    positions_bwd: Any = positions_bwd,
) -> tuple[Any, Any]:
    """Goes from the logits back through the mean, the tanh and the look-up."""
    a = jnp.tanh(params["table"][tokens] + params["positions"])
    pooled = a.mean(axis=1)
    logits = pooled @ params["out"]["w"] + params["out"]["b"]
    e = jnp.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    rows = jnp.arange(len(labels))

    dlogits = p.at[rows, labels].add(-1) / len(labels)
    dx = pool_bwd(dlogits @ params["out"]["w"].T, tokens.shape[1]) * (1 - a**2)
    return -jnp.log(p[rows, labels]).mean(), {
        "table": table_bwd(params["table"], tokens, dx),
        "positions": positions_bwd(dx),
        "out": {"w": pooled.T @ dlogits, "b": dlogits.sum(axis=0)},
    }


CLASSIFIER = Original("embedding", classifier_loss, classifier, make_classifier)


@CLASSIFIER.mutant("overwritten_not_accumulated", "table")
def repeated_tokens_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """dtable[tokens] = dx: of a word that occurs five times only the last one counts.

    NumPy's dtable[tokens] += dx has this effect, np.add.at has not (NumPy's manual on ufunc.at).
    """

    def assign(table: jax.Array, tokens: jax.Array, dx: jax.Array) -> jax.Array:
        return jnp.zeros_like(table).at[tokens].set(dx)  # bug

    return classifier(*inputs, table_bwd=assign)


@CLASSIFIER.mutant(None, "table")
def averaged_over_occurrences(*inputs: Any) -> tuple[Any, Any]:
    """Each word's gradient is divided by how often it occurs, as frequency scaling does it."""

    def average(table: jax.Array, tokens: jax.Array, dx: jax.Array) -> jax.Array:
        counts = jnp.zeros(len(table), table.dtype).at[tokens].add(1)
        return table_bwd(table, tokens, dx) / jnp.maximum(counts, 1)[:, None]  # bug

    return classifier(*inputs, table_bwd=average)


@CLASSIFIER.mutant("mask_extra", "table")
def padding_gets_no_gradient(*inputs: Any) -> tuple[Any, Any]:
    """The row of a padding token is zeroed, though the loss does not leave that token out."""

    def without_padding(table: jax.Array, tokens: jax.Array, dx: jax.Array) -> jax.Array:
        return table_bwd(table, tokens, dx).at[PADDING].set(0)  # bug

    return classifier(*inputs, table_bwd=without_padding)


@CLASSIFIER.mutant("constant_factor", "table", "positions", aliases=("missing_batch_mean",))
def mean_over_time_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The gradient of the average is handed to every word whole, T times too large."""
    return classifier(
        *inputs,
        pool_bwd=lambda dpooled, time: jnp.repeat(dpooled[:, None, :], time, axis=1),  # bug
    )


@CLASSIFIER.mutant("bias_averaged", "positions")
def positions_averaged(*inputs: Any) -> tuple[Any, Any]:
    """The positions, which act as a bias, get the mean over the batch and not the sum."""
    return classifier(*inputs, positions_bwd=lambda dx: dx.mean(axis=0))  # bug


def make_tied(seed: int) -> tuple[Any, ...]:
    """Draws one table for reading and for predicting: (params, tokens, labels)."""
    rng = np.random.default_rng(seed)
    params = {"table": normal(rng, VOCABULARY, 4), "w": normal(rng, 4, 4), "b": normal(rng, 4)}
    tokens, labels = rng.integers(6, size=7), rng.integers(VOCABULARY, size=7)
    return params, jnp.asarray(tokens, jnp.int32), jnp.asarray(labels, jnp.int32)


def tied_loss(params: Any, tokens: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes the cross-entropy; the table is the read-out as well (Press & Wolf 2017)."""
    h = jnp.tanh(params["table"][tokens] @ params["w"] + params["b"])
    log_p = jax.nn.log_softmax(h @ params["table"].T)
    return -jnp.mean(log_p[jnp.arange(len(labels)), labels])


def both_ends(dread: jax.Array, dpredict: jax.Array) -> jax.Array:
    """dtable = dread + dpredict: the sum over the two uses of the table."""
    return dread + dpredict


def tied(
    params: Any, tokens: jax.Array, labels: jax.Array, *, join: Any = both_ends
) -> tuple[Any, Any]:
    """Goes back to both uses of the table, and joins the two gradients."""
    table, rows = params["table"], jnp.arange(len(labels))
    x = table[tokens]
    h = jnp.tanh(x @ params["w"] + params["b"])
    logits = h @ table.T
    e = jnp.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)

    dlogits = p.at[rows, labels].add(-1) / len(labels)
    dz = (dlogits @ table) * (1 - h**2)
    dread = table_bwd(table, tokens, dz @ params["w"].T)
    grads = {"table": join(dread, dlogits.T @ h), "w": x.T @ dz, "b": dz.sum(axis=0)}
    return -jnp.log(p[rows, labels]).mean(), grads


TIED = Original("embedding", tied_loss, tied, make_tied)


@TIED.mutant("overwritten_not_accumulated", "table", aliases=("path_cut",))
def tied_table_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """grads["table"] is written at the output and written again at the input, not added to."""
    return tied(*inputs, join=lambda dread, dpredict: dread)  # bug


@TIED.mutant("path_cut", "table", aliases=("overwritten_not_accumulated",))
def tied_table_as_output_only(*inputs: Any) -> tuple[Any, Any]:
    """The look-up is taken for an input like any other, which needs no gradient."""
    return tied(*inputs, join=lambda dread, dpredict: dpredict)  # bug


ORIGINALS = (CLASSIFIER, TIED)
