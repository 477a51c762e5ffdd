"""A linear layer and its cross-entropy in one, over chunks of the rows or of the classes.

N rows, C channels, V classes. dname is the derivative of the loss with respect to name. The logits
of all rows are never held at once; labels of −1 are ignored; the target is smoothed, (1 − ε) on the
label and ε / V on every class.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

ROWS, CHANNELS, CLASSES, CHUNK = 9, 5, 8, 3
SMOOTHING = 0.1
IGNORED = -1


def make(seed: int) -> tuple[Any, ...]:
    """Draws a layer in front of the output layer, and labels of which two are ignored."""
    rng = np.random.default_rng(seed)
    params = {
        "h": normal(rng, 4, CHANNELS),
        "w": normal(rng, CHANNELS, CLASSES),
        "b": normal(rng, CLASSES),
    }
    labels = rng.integers(CLASSES, size=ROWS)
    labels[[2, 5]] = IGNORED
    return params, normal(rng, ROWS, 4), jnp.asarray(labels)


def loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes the mean cross-entropy over the rows that have a label."""
    logits = x @ params["h"] @ params["w"] + params["b"]
    targets = jax.nn.one_hot(labels, CLASSES, dtype=logits.dtype)
    targets = (1 - SMOOTHING) * targets + SMOOTHING / CLASSES
    losses = -(targets * jax.nn.log_softmax(logits)).sum(axis=-1)
    has_label = labels != IGNORED
    return jnp.where(has_label, losses, 0).sum() / has_label.sum()


def log_sum(logits: jax.Array) -> jax.Array:
    """Computes log Σ_v exp of each row, (rows, 1)."""
    top = logits.max(axis=-1, keepdims=True)
    return top + jnp.log(jnp.exp(logits - top).sum(axis=-1, keepdims=True))


def targets_of(labels: jax.Array, first: int, count: int) -> jax.Array:
    """Computes the smoothed targets of `count` classes from `first` on."""
    own = labels[:, None] - first == jnp.arange(count)
    return (1 - SMOOTHING) * own + SMOOTHING / CLASSES


def logits_bwd(logits: jax.Array, labels: jax.Array, mean: jax.Array) -> jax.Array:
    """dlogits = (softmax − target) / number of labels, and 0 where there is no label."""
    p = jnp.exp(logits - log_sum(logits))
    d = (p - targets_of(labels, 0, CLASSES)) / mean
    return jnp.where((labels != IGNORED)[:, None], d, 0)


def add(total: jax.Array, term: jax.Array) -> jax.Array:
    """dw += term, for each chunk."""
    return total + term


def correct(
    params: Any,
    x: jax.Array,
    labels: jax.Array,
    *,
    logits_bwd: Any = logits_bwd,
    add: Any = add,
    starts: Any = (0, 3, 6),
) -> tuple[Any, Any]:
    """Goes over chunks of three rows: only one has its logits and their gradient at a time."""
    w, b, a = params["w"], params["b"], x @ params["h"]
    mean = (labels != IGNORED).sum()
    da, dw, db = jnp.zeros_like(a), jnp.zeros_like(w), jnp.zeros_like(b)
    for start in starts:
        rows = slice(start, start + CHUNK)
        dlogits = logits_bwd(a[rows] @ w + b, labels[rows], mean)
        da = da.at[rows].set(dlogits @ w.T)
        dw, db = add(dw, a[rows].T @ dlogits), add(db, dlogits.sum(axis=0))
    return loss(params, x, labels), {"h": x.T @ da, "w": dw, "b": db}


FUSED = Original("fused-loss", loss, correct, make)
ALL = ("h", "w", "b")


@FUSED.mutant("wrong_value", *ALL, aliases=("constant_factor",))
def ignored_labels_count_in_the_mean(*inputs: Any) -> tuple[Any, Any]:
    """The gradient is divided by the number of rows, and the loss by that of the labels."""

    def by_rows(logits: jax.Array, labels: jax.Array, mean: jax.Array) -> jax.Array:
        p = jnp.exp(logits - log_sum(logits))
        d = (p - targets_of(labels, 0, CLASSES)) / ROWS  # bug
        return jnp.where((labels != IGNORED)[:, None], d, 0)

    return correct(*inputs, logits_bwd=by_rows)


@FUSED.mutant("mask_missing", *ALL)
def ignored_labels_get_a_gradient(*inputs: Any) -> tuple[Any, Any]:
    """Rows without a label are not set to 0; they have no label, so all classes are pushed down."""

    def unmasked(logits: jax.Array, labels: jax.Array, mean: jax.Array) -> jax.Array:
        p = jnp.exp(logits - log_sum(logits))
        return (p - targets_of(labels, 0, CLASSES)) / mean  # bug

    return correct(*inputs, logits_bwd=unmasked)


@FUSED.mutant("constant_omitted", *ALL, aliases=("wrong_value",))
def smoothing_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The backward pass takes the labels themselves for the targets."""

    def hard(logits: jax.Array, labels: jax.Array, mean: jax.Array) -> jax.Array:
        p = jnp.exp(logits - log_sum(logits))
        d = (p - jax.nn.one_hot(labels, CLASSES, dtype=p.dtype)) / mean  # bug
        return jnp.where((labels != IGNORED)[:, None], d, 0)

    return correct(*inputs, logits_bwd=hard)


@FUSED.mutant(None, *ALL, aliases=("wrong_value", "constant_omitted"))
def smoothing_over_the_other_classes(*inputs: Any) -> tuple[Any, Any]:
    """ε / (V − 1) on the other classes, another convention; the loss has ε / V on all of them."""

    def others(logits: jax.Array, labels: jax.Array, mean: jax.Array) -> jax.Array:
        p = jnp.exp(logits - log_sum(logits))
        own = jax.nn.one_hot(labels, CLASSES, dtype=p.dtype)
        target = (1 - SMOOTHING) * own + SMOOTHING / (CLASSES - 1) * (1 - own)  # bug
        return jnp.where((labels != IGNORED)[:, None], (p - target) / mean, 0)

    return correct(*inputs, logits_bwd=others)


@FUSED.mutant("softmax_wrong_axis", *ALL, aliases=("wrong_value",))
def log_sum_over_the_rows(*inputs: Any) -> tuple[Any, Any]:
    """The log of the sum is taken over the rows of the chunk, axis 0."""

    def over_rows(logits: jax.Array, labels: jax.Array, mean: jax.Array) -> jax.Array:
        p = jnp.exp(logits - jnp.log(jnp.exp(logits).sum(axis=0, keepdims=True)))  # bug
        d = (p - targets_of(labels, 0, CLASSES)) / mean
        return jnp.where((labels != IGNORED)[:, None], d, 0)

    return correct(*inputs, logits_bwd=over_rows)


@FUSED.mutant("sign_flipped", *ALL)
def target_minus_softmax(*inputs: Any) -> tuple[Any, Any]:
    """(target − p) / n, the direction to go in, which is not the gradient."""
    return correct(*inputs, logits_bwd=lambda *given: -logits_bwd(*given))  # bug


@FUSED.mutant(None, *ALL, aliases=("sign_flipped", "wrong_value"))
def target_added(*inputs: Any) -> tuple[Any, Any]:
    """p + target: the loss is log Σ exp minus the logit of the label."""

    def plus(logits: jax.Array, labels: jax.Array, mean: jax.Array) -> jax.Array:
        p = jnp.exp(logits - log_sum(logits))
        d = (p + targets_of(labels, 0, CLASSES)) / mean  # bug
        return jnp.where((labels != IGNORED)[:, None], d, 0)

    return correct(*inputs, logits_bwd=plus)


@FUSED.mutant("overwritten_not_accumulated", "w", "b")
def chunks_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """dw = ... in the loop over the chunks where dw += ... belongs: the last chunk is left."""
    return correct(*inputs, add=lambda total, term: term)  # bug


@FUSED.mutant(None, *ALL, aliases=("dropped_examples", "path_cut"))
def last_chunk_left_out(*inputs: Any) -> tuple[Any, Any]:
    """range(0, N − chunk, chunk) ends before the last chunk."""
    return correct(*inputs, starts=range(0, ROWS - CHUNK, CHUNK))  # bug


@FUSED.mutant("missing_batch_mean", *ALL, aliases=("constant_factor", "scale_omitted"))
def mean_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The gradient of the sum, where the loss is the mean over the labels."""

    def of_sum(logits: jax.Array, labels: jax.Array, mean: jax.Array) -> jax.Array:
        d = jnp.exp(logits - log_sum(logits)) - targets_of(labels, 0, CLASSES)  # bug
        return jnp.where((labels != IGNORED)[:, None], d, 0)

    return correct(*inputs, logits_bwd=of_sum)


def by_classes(
    params: Any,
    x: jax.Array,
    labels: jax.Array,
    *,
    softmax_of: Any = lambda logits, total: jnp.exp(logits - total),
    targets_of: Any = targets_of,
    gather: Any = lambda parts: sum(parts),
) -> tuple[Any, Any]:
    """Goes over chunks of four classes; the sum over all of them was kept by the forward pass."""
    a, w, b = x @ params["h"], params["w"], params["b"]
    total, has_label = log_sum(a @ w + b), (labels != IGNORED)[:, None]
    das, dws, dbs = [], [], []
    for first, last in ((0, 4), (4, 8)):
        p = softmax_of(a @ w[:, first:last] + b[first:last], total)
        d = (p - targets_of(labels, first, last - first)) / has_label.sum()
        d = jnp.where(has_label, d, 0)
        das.append(d @ w[:, first:last].T)
        dws.append(a.T @ d)
        dbs.append(d.sum(axis=0))
    grads = {"h": x.T @ gather(das), "w": jnp.concatenate(dws, axis=1), "b": jnp.concatenate(dbs)}
    return loss(params, x, labels), grads


BY_CLASSES = Original("fused-loss", loss, by_classes, make)


@BY_CLASSES.mutant("softmax_wrong_axis", *ALL, aliases=("wrong_value",))
def softmax_of_each_chunk(*inputs: Any) -> tuple[Any, Any]:
    """Each chunk of the classes is normalised by itself: the probabilities add up to 2."""

    def by_itself(logits: jax.Array, total: jax.Array) -> jax.Array:
        return jnp.exp(logits - log_sum(logits))  # bug

    return by_classes(*inputs, softmax_of=by_itself)


@BY_CLASSES.mutant("wrong_places", *ALL, aliases=("wrong_value",))
def labels_not_shifted_to_the_chunk(*inputs: Any) -> tuple[Any, Any]:
    """The label is compared with the places in the chunk, not with the classes."""

    def unshifted(labels: jax.Array, first: int, count: int) -> jax.Array:
        own = labels[:, None] == jnp.arange(count)  # bug
        return (1 - SMOOTHING) * own + SMOOTHING / CLASSES

    return by_classes(*inputs, targets_of=unshifted)


@BY_CLASSES.mutant("overwritten_not_accumulated", "h", aliases=("path_cut",))
def last_chunk_of_classes_kept(*inputs: Any) -> tuple[Any, Any]:
    """The gradient of the layer in front is that of the last chunk's classes alone."""
    return by_classes(*inputs, gather=lambda parts: parts[-1])  # bug


ORIGINALS = (FUSED, BY_CLASSES)
