"""The last layer of a language model and its loss as one, without the logits of all rows at once.

Legend: i row (a token), k feature, j class; N rows, D features, V classes; Z are the logits.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from manual.rules.rule import Rule

__all__ = ["linear_cross_entropy", "linear_cross_entropy_bwd", "linear_cross_entropy_fwd"]

Kept = tuple[jax.Array, jax.Array, Any]
"""∂L/∂x, ∂L/∂w and ∂L/∂b, or None without a bias."""


class Cut(NamedTuple):
    """How the logits are cut: into blocks of rows, and these into blocks of classes.

    Attributes:
        rows: how many are taken at once.
        classes: how many a product has at most.
        again: whether a block of classes is computed twice, for the sums of its rows and then for
            the gradients, in place of being kept in between for all classes.
    """

    rows: int
    classes: int
    again: bool = False


def on_cpu(features: int, classes: int) -> Cut:
    """Cuts for a CPU, where w may be larger than the cache.

    A block has as many rows as make it half of w, or 256, or up to 512 of few classes. Each
    reads w twice, and reads and writes dw, so that few rows cost time and many cost memory. To
    compute the logits again takes a third more in products, but w and dw are read and written
    for thousands of rows at once: with few features that is as fast, and keeps nothing.
    Measured on two cores for 2,048 rows, over `jax.grad`, time and memory, where a block is
    kept and where it is computed again:

        features, classes   kept             again
        64, 8,192           0.83 and 0.084   0.74 and 0.041
        128, 16,384         0.75 and 0.076   0.77 and 0.026
        256, 32,768         0.90 and 0.072   0.97 and 0.018
        256, 8,192          0.84 and 0.100   1.14 and 0.070
        1,024, 32,768       0.95 and 0.160   1.31 and 0.047
    """
    if features <= 256 and classes >= 128 * features:
        return Cut(rows=2_048, classes=512, again=True)
    most = max(256, features // 2)
    return Cut(rows=max(most, min(512, 1_048_576 // max(1, classes))), classes=2_048)


def elsewhere(classes: int) -> Cut:
    """Cuts for an accelerator, which starts each product anew, and needs larger ones.

    Measured on an H200, for 8,192 rows of 1,024 features and 50,257 classes, over `jax.grad`: 1.05
    of the time and 0.10 of the memory; a quarter as many logits at once take 1.9 of the time.
    """
    rows = 33_554_432 // max(1, classes)
    return Cut(rows=min(65_536, max(64, rows)), classes=16_384)


class _Targets(NamedTuple):
    """Labels of some rows, what each row counts, and the smoothing."""

    labels: jax.Array
    weights: jax.Array
    smoothing: float


def linear_cross_entropy_fwd(
    x: jax.Array,
    w: jax.Array,
    labels: jax.Array,
    b: jax.Array | None = None,
    *,
    label_smoothing: float = 0.0,
    ignored: int | None = None,
) -> tuple[jax.Array, Kept]:
    """L = 1/n Σ_i −Σ_j y_ij log p_ij,  p = softmax(Z) by rows,  Z = x w + b.

    y is (1 − α) one-hot + α/V with α = `label_smoothing` (Szegedy et al. 2016, §7), so a row's loss
    is LSE(Z_i) − (1 − α) Z_i,label − α/V Σ_j Z_ij. Rows whose label is `ignored` count neither in
    the sum nor in n; where all are, L is 0.

    The gradient of the logits is a function of the logits, and L is a scalar: whatever ∂/∂L comes,
    it only multiplies. So the gradients are formed here, beside the loss, for some rows at a time,
    and the logits are never there as a whole.

    Shapes: x (..., D), w (D, V) of one dtype, labels (...) of an integer dtype, b (V,) or None
    -> L (). Labels are indices as JAX reads them: −1 is the last class, and one beyond the classes
    makes the loss NaN. The sums are in float32 at least, L has x's dtype.

    Raises:
        AssertionError: if shapes or dtypes are not these.
        ValueError: if label_smoothing is not in [0, 1].
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
    chex.assert_rank(w, 2)
    chex.assert_shape(x, (*labels.shape, w.shape[0]))
    chex.assert_type([w, labels], [x.dtype, int])
    if b is not None:
        chex.assert_shape(b, w.shape[1:])
        chex.assert_type(b, x.dtype)

    def computed(x: jax.Array, w: jax.Array, labels: jax.Array, b: jax.Array | None) -> Any:
        def cut(how: Cut) -> Callable[..., Any]:
            settings = {"smoothing": label_smoothing, "ignored": ignored, "cut": how}
            return functools.partial(_loss_and_gradients, **settings)

        here = on_cpu(*w.shape)
        if w.shape[1] <= here.classes and labels.size <= here.rows:
            return cut(here)(x, w, labels, b)
        default = cut(elsewhere(w.shape[1]))
        return lax.platform_dependent(x, w, labels, b, cpu=cut(here), default=default)

    return _like_inputs(computed, x, w, labels, b)


def linear_cross_entropy_bwd(
    residuals: Kept, d_loss: jax.Array
) -> tuple[jax.Array, jax.Array, None, Any]:
    """dx = dZ wᵀ,  dw = xᵀ dZ,  db = Σ_i dZ,  dZ = (p − y)/n dL; the labels have no cotangent.

    Σ_j y_ij = 1, so ∂L_i/∂Z_ij = p_ij − y_ij (`softmax_cross_entropy_bwd`), and the rest is
    `dense_bwd`. All of it but dL is kept from the forward pass.
    """
    dx, dw, db = residuals
    scaled = lambda a: (a * d_loss).astype(a.dtype)  # noqa: E731
    return scaled(dx), scaled(dw), None, None if db is None else scaled(db)


linear_cross_entropy = Rule(linear_cross_entropy_fwd, linear_cross_entropy_bwd)


def _like_inputs(f: Callable[..., Any], *inputs: Any) -> Any:
    """f(*inputs); on a mesh with explicit axes the gradients lie where their inputs lie."""
    x, w, _, b = inputs
    placed = [None if a is None else jax.typeof(a).sharding for a in (x, w, b)]
    mesh = jax.typeof(x).sharding.mesh
    if not mesh.explicit_axes:
        return f(*inputs)
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.sharding.auto_axes(out_sharding=(whole, tuple(placed)))(f)(*inputs)


def _loss_and_gradients(
    x: jax.Array,
    w: jax.Array,
    labels: jax.Array,
    b: jax.Array | None,
    *,
    smoothing: float,
    ignored: int | None,
    cut: Cut,
) -> tuple[jax.Array, Kept]:
    d, classes = w.shape
    wide = jnp.promote_types(x.dtype, jnp.float32)
    rows, every = x.reshape(labels.size, d), labels.reshape(-1).astype(jnp.int32)
    counts = jnp.ones(every.shape, wide) if ignored is None else (every != ignored).astype(wide)
    weights = counts / jnp.maximum(counts.sum(), 1)
    every = jnp.where(every < 0, every + classes, every)

    count = max(1, -(-len(rows) // cut.rows))
    size = -(-len(rows) // count)

    def pieces(a: jax.Array) -> jax.Array:
        rest = [(0, 0)] * (a.ndim - 1)
        padded = jnp.pad(a, [(0, count * size - len(rows)), *rest])
        return padded.reshape(count, size, *a.shape[1:])

    def step(sums: Any, at: Any) -> tuple[Any, jax.Array]:
        loss, dw, db = sums
        x, labels, weights = at
        targets = _Targets(labels, weights, smoothing)

        def logits(start: Any, size: int) -> jax.Array:
            z = jnp.matmul(x, _part(w, start, size), preferred_element_type=wide)
            return z if b is None else z + _part(b, start, size)

        if not cut.again:
            logits = functools.partial(_part, logits(0, classes))
        most = cut.classes if cut.again else classes
        total, of_row = _row_losses(logits, targets, classes, most)
        loss = loss + jnp.sum(jnp.where(weights > 0, weights * of_row, 0))
        dz = functools.partial(_logit_gradients, logits, total, targets, classes)
        dx, dw, db = _row_gradients(x, w, dz, (dw, db), cut.classes)
        return (loss, dw, db), dx.astype(x.dtype)

    first = (
        # Not a constant, so that inside `shard_map` it varies as the examples do.
        0 * every.sum().astype(wide),
        jnp.zeros_like(w, wide),
        None if b is None else jnp.zeros_like(b, wide),
    )
    (loss, dw, db), dx = lax.scan(step, first, (pieces(rows), pieces(every), pieces(weights)))
    dx = dx.reshape(count * size, d)[: len(rows)].reshape(x.shape)
    return loss.astype(x.dtype), (dx, dw.astype(w.dtype), None if b is None else db.astype(b.dtype))


Block = Callable[[Any, int], jax.Array]
"""Some rows of so many classes from a start: (rows, size)."""


def _part(a: jax.Array, start: Any, size: int) -> jax.Array:
    return lax.dynamic_slice_in_dim(a, start, size, axis=a.ndim - 1)


def _over_classes(step: Callable[[Any, int, Any], Any], state: Any, classes: int, most: int) -> Any:
    """Takes `step(start, size, state)` over all classes, at most so many at a time."""
    if classes <= most:
        return step(0, classes, state)
    full = classes // most
    state = lax.fori_loop(0, full, lambda i, state: step(i * most, most, state), state)
    rest = classes - full * most
    return step(full * most, rest, state) if rest else state


def _row_losses(
    logits: Block, targets: _Targets, classes: int, most: int
) -> tuple[jax.Array, jax.Array]:
    """LSE(Z_i) and each row's loss.

    Σ e^(z − c), c the largest so far, becomes that of a larger c times e^(c − larger c)   (Milakov
    & Gimelshein 2018).
    """
    labels, weights, smoothing = targets

    def step(start: Any, size: int, state: Any) -> Any:
        largest, total, picked, all_logits = state
        z = logits(start, size)
        larger = jnp.maximum(largest, z.max(axis=1))
        powers = jnp.exp(z - larger[:, None]).sum(axis=1)
        inside = labels - start
        # A negative index would be one from the end.
        inside = jnp.where(inside < 0, size, inside)[:, None]
        here = jnp.take_along_axis(z, inside, axis=1, mode="fill", fill_value=0)[:, 0]
        if smoothing:
            all_logits = all_logits + z.sum(axis=1)
        return larger, total * jnp.exp(largest - larger) + powers, picked + here, all_logits

    # Of the labels, so that inside `shard_map` it varies as they do.
    zero = 0 * labels.astype(weights.dtype)
    least = zero + float(jnp.finfo(zero.dtype).min)
    label_is_class = (labels >= 0) & (labels < classes)
    first = least, zero, jnp.where(label_is_class, zero, jnp.nan), zero
    largest, total, picked, all_logits = _over_classes(step, first, classes, most)
    total = largest + jnp.log(total)
    return total, total - (1 - smoothing) * picked - smoothing / classes * all_logits


def _logit_gradients(
    logits: Block, total: jax.Array, targets: _Targets, classes: int, start: Any, size: int
) -> jax.Array:
    """(p − y) times what each row counts."""
    is_label = targets.labels[:, None] - start == jnp.arange(size)
    y = (1 - targets.smoothing) * is_label + targets.smoothing / classes
    return (jnp.exp(logits(start, size) - total[:, None]) - y) * targets.weights[:, None]


def _row_gradients(
    x: jax.Array,
    w: jax.Array,
    gradients: Block,
    sums: tuple[jax.Array, jax.Array | None],
    most: int,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """dx of these rows, and dw and db with their part added: so many classes at a time.

    A product over all classes would need a second array as large as dw to be added from. dx is made
    as w dzᵀ, features by rows: a library that turns its second operand, as dz wᵀ asks for, takes
    1.4 times as long on a CPU (64 rows, one core), and does not divide it between cores.
    """
    wide = sums[0].dtype
    turned = lax.optimization_barrier(x.T)

    def step(start: Any, size: int, state: Any) -> Any:
        def add(a: jax.Array, part: jax.Array) -> jax.Array:
            sum_ = _part(a, start, size) + part
            return lax.dynamic_update_slice_in_dim(a, sum_, start, axis=a.ndim - 1)

        dx, dw, db = state
        dz = gradients(start, size)
        narrow = dz.astype(x.dtype)
        dx = dx + jnp.matmul(_part(w, start, size), narrow.T, preferred_element_type=wide)
        dw = add(dw, jnp.matmul(turned, narrow, preferred_element_type=wide))
        return dx, dw, None if db is None else add(db, dz.sum(axis=0))

    first = jnp.zeros_like(turned, wide), *sums
    dx, dw, db = _over_classes(step, first, w.shape[1], most)
    return dx.T, dw, db
