"""Mistakes that people report in public trackers, each in the smallest model that has it.

B batch, T time, K classes. dname is the derivative of the loss with respect to name.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]


# Dice, an overlap of two masks: 1 − (2 Σ q t + s) / (Σ q + Σ t + s), the mean over the batch.

SMOOTH = 1.0


def make_masks(seed: int) -> tuple[Any, ...]:
    """Draws a layer and a batch of 5 masks: (params, x, t)."""
    rng = np.random.default_rng(seed)
    t = jnp.asarray(rng.uniform(size=(5, 7)) > 0.5, jnp.float32)
    return {"w": normal(rng, 4, 7), "b": normal(rng, 7)}, normal(rng, 5, 4), t


def dice_loss(params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
    """Computes one minus the overlap of predicted and true masks."""
    q = jax.nn.sigmoid(x @ params["w"] + params["b"])
    twice = 2 * (q * t).sum(1) + SMOOTH
    union = q.sum(1) + t.sum(1) + SMOOTH
    return jnp.mean(1 - twice / union)


def dice_bwd(t: jax.Array, twice: jax.Array, union: jax.Array) -> jax.Array:
    """dq = −(2 t union − twice) / union²."""
    return -(2 * t * union - twice) / (union * union)


def dice(params: Any, x: jax.Array, t: jax.Array, *, dice_bwd: Any = dice_bwd) -> tuple[Any, Any]:
    """Goes forward, then back by the quotient rule."""
    q = 1 / (1 + jnp.exp(-(x @ params["w"] + params["b"])))
    twice = (2 * (q * t).sum(1) + SMOOTH)[:, None]
    union = (q.sum(1) + t.sum(1) + SMOOTH)[:, None]
    dz = dice_bwd(t, twice, union) / len(x) * q * (1 - q)
    return jnp.mean(1 - twice / union), {"w": x.T @ dz, "b": dz.sum(0)}


DICE = Original("dice", dice_loss, dice, make_masks)


@DICE.mutant("constant_omitted", "w", "b")
def smoothing_left_out(*inputs: Any) -> tuple[Any, Any]:
    """The smoothing constant is in the value and not in the derivative."""

    def without(t: jax.Array, twice: jax.Array, union: jax.Array) -> jax.Array:
        twice, union = twice - SMOOTH, union - SMOOTH  # bug
        return dice_bwd(t, twice, union)

    return dice(*inputs, dice_bwd=without)


# Sequences of different lengths in one batch, padded to the longest.


def make_padded(seed: int) -> tuple[Any, ...]:
    """Draws a layer and 4 sequences of up to 6 steps: (params, x, t, lengths)."""
    rng = np.random.default_rng(seed)
    lengths = jnp.asarray([6, 3, 5, 2])
    return {"w": normal(rng, 3, 2)}, normal(rng, 4, 6, 3), normal(rng, 4, 6, 2), lengths


def padded_loss(params: Any, x: jax.Array, t: jax.Array, lengths: jax.Array) -> jax.Array:
    """Computes the squared error, the mean over each sequence's own steps."""
    y = jnp.tanh(x @ params["w"])
    inside = jnp.arange(x.shape[1])[None, :] < lengths[:, None]
    errors = jnp.where(inside, ((y - t) ** 2).sum(-1), 0)
    return (errors.sum(1) / lengths).mean()


def inside_of(x: jax.Array, lengths: jax.Array) -> jax.Array:
    """Tells the steps that are a sequence's own, (B, T, 1)."""
    return (jnp.arange(x.shape[1])[None, :] < lengths[:, None])[..., None]


def padded(
    params: Any,
    x: jax.Array,
    t: jax.Array,
    lengths: jax.Array,
    *,
    inside_of: Any = inside_of,
    per: Any = lambda x, lengths: lengths[:, None, None],
) -> tuple[Any, Any]:
    """Goes forward, then back step by step."""
    y = jnp.tanh(x @ params["w"])
    dy = 2 * (y - t) * inside_of(x, lengths) / per(x, lengths) / len(x)
    dw = jnp.einsum("bti,bto->io", x, dy * (1 - y**2))
    return padded_loss(params, x, t, lengths), {"w": dw}


PADDED = Original("padded", padded_loss, padded, make_padded)


@PADDED.mutant("mask_missing", "w", aliases=("missing_activation_derivative",))
def padding_not_masked(*inputs: Any) -> tuple[Any, Any]:
    """The steps behind a sequence's end get a gradient as well."""
    return padded(*inputs, inside_of=lambda x, lengths: 1.0)  # bug


@PADDED.mutant("mask_extra", "w")
def first_step_masked(*inputs: Any) -> tuple[Any, Any]:
    """The mask of the backward pass leaves out the first step of every sequence."""

    def later(x: jax.Array, lengths: jax.Array) -> jax.Array:
        steps = jnp.arange(x.shape[1])[None, :, None]
        return inside_of(x, lengths) & (steps > 0)  # bug

    return padded(*inputs, inside_of=later)


@PADDED.mutant("wrong_value", "w")
def divided_by_the_padded_length(*inputs: Any) -> tuple[Any, Any]:
    """Each sequence is divided by the padded length, not by its own."""
    return padded(*inputs, per=lambda x, lengths: x.shape[1])  # bug


# Margins of several classes: Σ max(0, s − s_y + 1) over the wrong classes.


def make_margins(seed: int) -> tuple[Any, ...]:
    """Draws scores' weights, a batch of 6 and labels: (params, x, labels)."""
    rng = np.random.default_rng(seed)
    labels = jnp.asarray(rng.integers(4, size=6))
    return {"w": normal(rng, 5, 4)}, normal(rng, 6, 5), labels


def hinge_loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes the violated margins, the mean over the batch."""
    s = x @ params["w"]
    one = jax.nn.one_hot(labels, s.shape[1], dtype=s.dtype)
    margins = s - (s * one).sum(1, keepdims=True) + 1
    return (jnp.maximum(0, margins) * (1 - one)).sum() / len(x)


def count_of(violated: jax.Array, one: jax.Array) -> jax.Array:
    """Counts the violated margins of the wrong classes, (B, 1)."""
    return (violated * (1 - one)).sum(1, keepdims=True)


def hinge(
    params: Any, x: jax.Array, labels: jax.Array, *, count_of: Any = count_of
) -> tuple[Any, Any]:
    """Goes forward, then back: each violated margin pulls at two scores."""
    s = x @ params["w"]
    one = jax.nn.one_hot(labels, s.shape[1], dtype=s.dtype)
    violated = (s - (s * one).sum(1, keepdims=True) + 1 > 0).astype(s.dtype)
    ds = jnp.where(one > 0, -count_of(violated, one), violated) / len(x)
    return hinge_loss(params, x, labels), {"w": x.T @ ds}


HINGE = Original("hinge", hinge_loss, hinge, make_margins)


@HINGE.mutant("extra_term", "w")
def own_class_counted(*inputs: Any) -> tuple[Any, Any]:
    """The true class is counted among its own violated margins."""
    return hinge(*inputs, count_of=lambda v, one: v.sum(1, keepdims=True))  # bug


# The two largest of five scores.


def make_ranks(seed: int) -> tuple[Any, ...]:
    """Draws weights, a batch of 4 and a factor for each rank: (params, x, c)."""
    rng = np.random.default_rng(seed)
    return {"w": normal(rng, 3, 5)}, normal(rng, 4, 3), normal(rng, 4, 2)


def top_loss(params: Any, x: jax.Array, c: jax.Array) -> jax.Array:
    """Computes a weighted sum of the two largest scores."""
    values, _ = lax.top_k(x @ params["w"], 2)
    return (values * c).sum()


def top(
    params: Any, x: jax.Array, c: jax.Array, *, places: Any = lambda found: found
) -> tuple[Any, Any]:
    """Goes forward, then back: the gradient goes where the values were taken from."""
    z = x @ params["w"]
    values, found = lax.top_k(z, 2)
    rows = jnp.arange(len(z))[:, None]
    dz = jnp.zeros_like(z).at[rows, places(found)].add(c)
    return (values * c).sum(), {"w": x.T @ dz}


TOP = Original("top", top_loss, top, make_ranks)


@TOP.mutant("wrong_places", "w")
def ranks_for_places(params: Any, x: jax.Array, c: jax.Array) -> tuple[Any, Any]:
    """The gradient goes to the ranks 0 and 1, not to the places of the largest scores."""
    z = x @ params["w"]
    dz = jnp.zeros_like(z).at[:, jnp.arange(2)].add(c)  # bug
    return top_loss(params, x, c), {"w": x.T @ dz}


# Keys that several heads of queries share.

HEADS, GROUP = 2, 3


def make_heads(seed: int) -> tuple[Any, ...]:
    """Draws 6 heads of queries on 2 of keys: (params, c)."""
    rng = np.random.default_rng(seed)
    params = {"q": normal(rng, HEADS * GROUP, 5, 4), "k": normal(rng, HEADS, 5, 4)}
    return params, normal(rng, HEADS * GROUP, 5, 5)


def shared_loss(params: Any, c: jax.Array) -> jax.Array:
    """Computes a weighted sum of the softmax of the scores."""
    k = jnp.repeat(params["k"], GROUP, axis=0)
    return (jax.nn.softmax(jnp.einsum("htd,hsd->hts", params["q"], k)) * c).sum()


def group_bwd(d: jax.Array) -> jax.Array:
    """A key's gradient is the sum over the heads that share it."""
    return d.reshape(HEADS, GROUP, *d.shape[1:]).sum(1)


def shared(params: Any, c: jax.Array, *, group_bwd: Any = group_bwd) -> tuple[Any, Any]:
    """Goes forward, then back through the softmax."""
    q, k = params["q"], jnp.repeat(params["k"], GROUP, axis=0)
    a = jax.nn.softmax(jnp.einsum("htd,hsd->hts", q, k))
    ds = a * (c - (a * c).sum(-1, keepdims=True))
    dk = jnp.einsum("hts,htd->hsd", ds, q)
    return (a * c).sum(), {"q": jnp.einsum("hts,hsd->htd", ds, k), "k": group_bwd(dk)}


SHARED = Original("shared", shared_loss, shared, make_heads)


@SHARED.mutant("summed_wrongly", "k")
def heads_summed_across_groups(*inputs: Any) -> tuple[Any, Any]:
    """Every second head is summed, where the three neighbours share a key."""

    def across(d: jax.Array) -> jax.Array:
        return d.reshape(GROUP, HEADS, *d.shape[1:]).sum(0)  # bug

    return shared(*inputs, group_bwd=across)


@SHARED.mutant("overwritten_not_accumulated", "k")
def first_head_of_each_group(*inputs: Any) -> tuple[Any, Any]:
    """A key gets the gradient of the first head that shares it, not the sum of all three."""
    return shared(*inputs, group_bwd=lambda d: d[::GROUP])  # bug


# A weight of length 1: w = v / |v|.


def make_directions(seed: int) -> tuple[Any, ...]:
    """Draws directions, a batch of 7 and targets: (params, x, t)."""
    rng = np.random.default_rng(seed)
    return {"v": normal(rng, 4, 3)}, normal(rng, 7, 4), normal(rng, 7, 3)


def direction_loss(params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
    """Computes the squared error of a layer whose weights have length 1."""
    w = params["v"] / jnp.sqrt((params["v"] ** 2).sum(0))
    return ((x @ w - t) ** 2).sum() / len(x)


def direction_bwd(dw: jax.Array, w: jax.Array, n: jax.Array) -> jax.Array:
    """dv = (dw − w Σ w dw) / |v|."""
    return (dw - w * (w * dw).sum(0)) / n


def direction(
    params: Any, x: jax.Array, t: jax.Array, *, direction_bwd: Any = direction_bwd
) -> tuple[Any, Any]:
    """Goes forward, then back to the direction."""
    n = jnp.sqrt((params["v"] ** 2).sum(0))
    w = params["v"] / n
    e = x @ w - t
    dw = 2 * x.T @ e / len(x)
    return (e**2).sum() / len(x), {"v": direction_bwd(dw, w, n)}


DIRECTION = Original("direction", direction_loss, direction, make_directions)


@DIRECTION.mutant("chain_step_missing", "v")
def gradient_of_the_normalised_weight(params: Any, x: jax.Array, t: jax.Array) -> tuple[Any, Any]:
    """The gradient by w is given for v: neither the projection nor the division is there."""
    w = params["v"] / jnp.sqrt((params["v"] ** 2).sum(0))
    dv = 2 * x.T @ (x @ w - t) / len(x)  # bug
    return direction_loss(params, x, t), {"v": dv}


# Eight steps of Euler's method for y' = −θ (1 + ½ cos 2t) y.

STEPS = 8


def make_start(seed: int) -> tuple[Any, ...]:
    """Draws a start, rates and a target: (params, target)."""
    rng = np.random.default_rng(seed)
    rates = jnp.asarray(rng.uniform(0.5, 1.5, size=3), jnp.float32)
    return {"theta": rates, "y0": normal(rng, 3)}, normal(rng, 3)


def euler_loss(params: Any, target: jax.Array) -> jax.Array:
    """Computes the squared distance from the target after all steps."""

    def step(y: jax.Array, k: jax.Array) -> tuple[jax.Array, None]:
        t = 0.2 + k * 0.21
        return y - 0.21 * params["theta"] * (1 + 0.5 * jnp.cos(2 * t)) * y, None

    y, _ = lax.scan(step, params["y0"], jnp.arange(STEPS, dtype=target.dtype))
    return ((y - target) ** 2).sum()


def euler(params: Any, target: jax.Array, *, clock: Any = lambda k: k) -> tuple[Any, Any]:
    """Goes forward, then back through the steps, the last one first."""
    theta, ys = params["theta"], [params["y0"]]
    slopes = [1 + 0.5 * jnp.cos(2 * (0.2 + k * 0.21)) for k in range(STEPS)]
    for slope in slopes:
        ys.append(ys[-1] - 0.21 * theta * slope * ys[-1])
    dy, dtheta = 2 * (ys[-1] - target), jnp.zeros_like(theta)
    for k in reversed(range(STEPS)):
        slope = 1 + 0.5 * jnp.cos(2 * (0.2 + clock(k) * jnp.asarray(0.21)))
        dtheta = dtheta - dy * 0.21 * slope * ys[k]
        dy = dy * (1 - 0.21 * theta * slope)
    return ((ys[-1] - target) ** 2).sum(), {"theta": dtheta, "y0": dy}


EULER = Original("euler", euler_loss, euler, make_start)


@EULER.mutant("time_reversed", "theta")
def clock_read_backwards(*inputs: Any) -> tuple[Any, Any]:
    """On the way back the slope of step k is taken at the time of step 7 − k."""
    return euler(*inputs, clock=lambda k: STEPS - 1 - k)  # bug


# A row divided by the sum of its sizes.


def make_rows(seed: int) -> tuple[Any, ...]:
    """Draws weights, a batch of 6 and a factor for each entry: (params, x, c)."""
    rng = np.random.default_rng(seed)
    return {"w": normal(rng, 3, 4)}, normal(rng, 6, 3), normal(rng, 6, 4)


def rows_loss(params: Any, x: jax.Array, c: jax.Array) -> jax.Array:
    """Computes a weighted sum of rows that are normalised by their absolute values."""
    h = x @ params["w"]
    return (h / jnp.abs(h).sum(1, keepdims=True) * c).sum()


def rows(params: Any, x: jax.Array, c: jax.Array, *, slope: Any = jnp.sign) -> tuple[Any, Any]:
    """Goes forward, then back: dh = (c − sign h Σ y c) / n."""
    h = x @ params["w"]
    n = jnp.abs(h).sum(1, keepdims=True)
    y = h / n
    dh = (c - slope(h) * (y * c).sum(1, keepdims=True)) / n
    return (y * c).sum(), {"w": x.T @ dh}


ROWS = Original("rows", rows_loss, rows, make_rows)


@ROWS.mutant("wrong_derivative", "w")
def squares_for_signs(*inputs: Any) -> tuple[Any, Any]:
    """The derivative is that of a sum of squares, where the absolute values' signs belong."""
    return rows(*inputs, slope=lambda h: h**2)  # bug


ORIGINALS = (DICE, PADDED, HINGE, TOP, SHARED, DIRECTION, EULER, ROWS)
