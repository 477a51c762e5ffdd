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
    """How the logits are cut: how many there are at once, of which rows, and in which products.

    Attributes:
        logits: how many there are at once, in whole rows.
        fewest_rows: that are taken at once, also where that makes more logits.
        most_rows: that are taken at once.
        classes: that a product has at most.
    """

    logits: int
    fewest_rows: int
    most_rows: int
    classes: int

    def rows(self, classes: int) -> int:
        """How many rows are taken at once."""
        return min(self.most_rows, max(self.fewest_rows, self.logits // max(1, classes)))


ON_CPU = Cut(1_048_576, 256, 512, 2_048)
"""Each block of rows reads w twice, and dw is read and written: few rows cost time where w is
larger than the cache, many cost memory. Measured on two cores, over `jax.grad`, at 32,768 classes:
with 80 rows 1.12 of the time and 0.029 of the memory, with 192 rows 0.89 and 0.058, with 256 rows
0.83 and 0.072; at 8,192 classes with 128 rows 1.09 and 0.058, with 256 rows 0.97 and 0.100."""

ELSEWHERE = Cut(33_554_432, 64, 65_536, 16_384)
"""An accelerator starts each product anew, and needs larger ones (measured on an H200, for 8,192
rows of 1,024 features and 50,257 classes, over `jax.grad`: 1.05 of the time and 0.10 of the memory;
a quarter as many take 1.9 of the time)."""


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
    it only multiplies. So the gradients are formed here, beside the loss, for a few rows at a time,
    and the logits are never there as a whole nor computed twice.

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

        if w.shape[1] <= ON_CPU.classes and labels.size <= ON_CPU.rows(w.shape[1]):
            return cut(ON_CPU)(x, w, labels, b)
        return lax.platform_dependent(x, w, labels, b, cpu=cut(ON_CPU), default=cut(ELSEWHERE))

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

    count = max(1, -(-len(rows) // cut.rows(classes)))
    size = -(-len(rows) // count)

    def pieces(a: jax.Array) -> jax.Array:
        rest = [(0, 0)] * (a.ndim - 1)
        padded = jnp.pad(a, [(0, count * size - len(rows)), *rest])
        return padded.reshape(count, size, *a.shape[1:])

    def step(sums: Any, at: Any) -> tuple[Any, jax.Array]:
        loss, dw, db = sums
        x, labels, weights = at
        targets = _Targets(labels, weights, smoothing)
        z = jnp.matmul(x, w, preferred_element_type=wide)
        z = z if b is None else z + b
        largest = z.max(axis=1)
        total = largest + jnp.log(jnp.exp(z - largest[:, None]).sum(axis=1))
        picked = jnp.take_along_axis(z, labels[:, None], axis=1, mode="fill")[:, 0]
        of_row = total - (1 - smoothing) * picked - smoothing * z.mean(axis=1)
        loss = loss + jnp.sum(jnp.where(weights > 0, weights * of_row, 0))
        dx, dw, db = _row_gradients(x, w, z, total, targets, (dw, db), cut.classes)
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


def _row_gradients(
    x: jax.Array,
    w: jax.Array,
    z: jax.Array,
    total: jax.Array,
    targets: _Targets,
    sums: tuple[jax.Array, jax.Array | None],
    most: int,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """dx of these rows, and dw and db with their part added: so many classes at a time.

    A product over all classes would need a second array as large as dw to be added from. dx is made
    as w dzᵀ, features by rows: a library that turns its second operand, as dz wᵀ asks for, takes
    1.4 times as long on a CPU (64 rows, one core), and does not divide it between cores.
    """
    classes = w.shape[1]
    wide = z.dtype

    def block(start: Any, size: int, state: Any) -> Any:
        dx, dw, db = state
        at = lambda a: lax.dynamic_slice_in_dim(a, start, size, axis=a.ndim - 1)  # noqa: E731
        put = lambda a, part: lax.dynamic_update_slice_in_dim(  # noqa: E731
            a, at(a) + part, start, axis=a.ndim - 1
        )
        is_label = targets.labels[:, None] - start == jnp.arange(size)
        y = (1 - targets.smoothing) * is_label + targets.smoothing / classes
        dz = (jnp.exp(at(z) - total[:, None]) - y) * targets.weights[:, None]
        narrow = dz.astype(x.dtype)
        dx = dx + jnp.matmul(at(w), narrow.T, preferred_element_type=wide)
        dw = put(dw, jnp.matmul(turned, narrow, preferred_element_type=wide))
        return dx, dw, None if db is None else put(db, dz.sum(axis=0))

    turned = lax.optimization_barrier(x.T)
    state = jnp.zeros_like(turned, wide), *sums
    full = classes // most
    if full:
        state = lax.fori_loop(0, full, lambda i, s: block(i * most, most, s), state)
    if classes > full * most:
        state = block(full * most, classes - full * most, state)
    dx, dw, db = state
    return dx.T, dw, db
