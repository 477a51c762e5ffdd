"""A recurrent network over sequences of different lengths, and one that reads in both directions.

B batch, T time, H hidden. dname is the derivative of the loss with respect to name. Behind the end
of a sequence its state stays as it is, and the steps there have no gradient.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]


def cell(rng: np.random.Generator) -> dict[str, jax.Array]:
    """Draws the weights of Elman's network (1990)."""
    return {"w": normal(rng, 2, 4), "u": normal(rng, 4, 4, scale=0.6), "b": normal(rng, 4)}


def make(seed: int) -> tuple[Any, ...]:
    """Draws a cell with a start of its own and 5 sequences of up to 4: (params, xs, lengths, y)."""
    rng = np.random.default_rng(seed)
    params = cell(rng) | {"h0": normal(rng, 4), "v": normal(rng, 4, 3)}
    return params, normal(rng, 4, 5, 2), jnp.asarray([4, 2, 3, 1, 2]), normal(rng, 5, 3)


def loss(params: Any, xs: jax.Array, lengths: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of a prediction from each sequence's last state."""
    start = jnp.broadcast_to(params["h0"], (xs.shape[1], 4))

    def step(h: jax.Array, at: Any) -> tuple[jax.Array, None]:
        x, t = at
        new = jnp.tanh(x @ params["w"] + h @ params["u"] + params["b"])
        return jnp.where((t < lengths)[:, None], new, h), None

    h, _ = jax.lax.scan(step, start, (xs, jnp.arange(len(xs))))
    return jnp.mean((h @ params["v"] - y) ** 2)


def inside(t: int, lengths: jax.Array) -> jax.Array:
    """Tells the sequences that have a step t, (B, 1)."""
    return (t < lengths)[:, None]


def split_bwd(dh: jax.Array, t: int, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """dh goes to the new state inside of a sequence, and to the state before it behind its end."""
    own = inside(t, lengths)
    return jnp.where(own, dh, 0), jnp.where(own, 0, dh)


def tanh_bwd(dh: jax.Array, h: jax.Array) -> jax.Array:
    """dz = dh ⊙ (1 − h²)."""
    return dh * (1 - h**2)


def start_bwd(dh: jax.Array) -> jax.Array:
    """dh0 = Σ_batch dh: all sequences start alike."""
    return dh.sum(axis=0)


def correct(
    params: Any,
    xs: jax.Array,
    lengths: jax.Array,
    y: jax.Array,
    *,
    split_bwd: Any = split_bwd,
    tanh_bwd: Any = tanh_bwd,
    start_bwd: Any = start_bwd,
) -> tuple[Any, Any]:
    """Goes back from the last step to the first; a sequence joins in at its own end."""
    w, u, b, v = params["w"], params["u"], params["b"], params["v"]
    h, steps = jnp.broadcast_to(params["h0"], (len(lengths), 4)), []
    for t, x in enumerate(xs):
        new = jnp.tanh(x @ w + h @ u + b)
        steps.append((x, h, new))
        h = jnp.where(inside(t, lengths), new, h)
    error = h @ v - y

    dout = 2 * error / error.size
    dh = dout @ v.T
    dw, du, db = jnp.zeros_like(w), jnp.zeros_like(u), jnp.zeros_like(b)
    for t in reversed(range(len(xs))):
        x, before, new = steps[t]
        dnew, dkept = split_bwd(dh, t, lengths)
        dz = tanh_bwd(dnew, new)
        dw, du, db = dw + x.T @ dz, du + before.T @ dz, db + dz.sum(axis=0)
        dh = dkept + dz @ u.T
    return (error**2).mean(), {
        "w": dw, "u": du, "b": db, "h0": start_bwd(dh), "v": h.T @ dout,
    }  # fmt: skip


LENGTHS = Original("lengths", loss, correct, make)
CELL = ("w", "u", "b")


@LENGTHS.mutant("mask_missing", *CELL, "h0")
def padded_steps_get_a_gradient(*inputs: Any) -> tuple[Any, Any]:
    """Every step is gone through backwards, also those behind a sequence's end."""

    def unmasked(dh: jax.Array, t: int, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        return dh, jnp.where(inside(t, lengths), 0, dh)  # bug

    return correct(*inputs, split_bwd=unmasked)


@LENGTHS.mutant("path_cut", *CELL, "h0", aliases=("mask_extra", "overwritten_not_accumulated"))
def gradient_of_short_sequences_lost(*inputs: Any) -> tuple[Any, Any]:
    """The mask sets dh to 0 behind the end, and nothing is handed to the end itself."""

    def lost(dh: jax.Array, t: int, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        dh = jnp.where(inside(t, lengths), dh, 0)  # bug
        return dh, jnp.zeros_like(dh)

    return correct(*inputs, split_bwd=lost)


@LENGTHS.mutant("mask_missing", *CELL, "h0", aliases=("wrong_value",))
def mask_one_step_too_long(*inputs: Any) -> tuple[Any, Any]:
    """t <= length where t < length belongs: the first padded step counts."""

    def late(dh: jax.Array, t: int, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        own = (t <= lengths)[:, None]  # bug
        return jnp.where(own, dh, 0), jnp.where(own, 0, dh)

    return correct(*inputs, split_bwd=late)


@LENGTHS.mutant("bias_averaged", "h0", aliases=("constant_factor", "extra_batch_mean"))
def start_averaged(*inputs: Any) -> tuple[Any, Any]:
    """The start's gradient is the mean over the batch; the loss is a mean already."""
    return correct(*inputs, start_bwd=lambda dh: dh.mean(axis=0))  # bug


@LENGTHS.mutant("overwritten_not_accumulated", "h0", aliases=("summed_wrongly",))
def start_of_the_first_sequence_only(*inputs: Any) -> tuple[Any, Any]:
    """The start's gradient is that of the first sequence, as if each had a start of its own."""
    return correct(*inputs, start_bwd=lambda dh: dh[0])  # bug


@LENGTHS.mutant("wrong_activation", *CELL, "h0")
def relu_derivative_for_tanh(*inputs: Any) -> tuple[Any, Any]:
    """The slope is that of a ReLU, the other nonlinearity that the cell can have."""
    return correct(*inputs, tanh_bwd=lambda dh, h: dh * (h > 0))  # bug


def make_both(seed: int) -> tuple[Any, ...]:
    """Draws a cell for each direction, a read-out and a batch of 5: (params, xs, y)."""
    rng = np.random.default_rng(seed)
    params = {"forth": cell(rng), "back": cell(rng), "v": normal(rng, 8, 3)}
    return params, normal(rng, 3, 5, 2), normal(rng, 3, 5, 3)


def both_loss(params: Any, xs: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error at every step, from the states of both directions side by side."""

    def states(own: Any, xs: jax.Array) -> jax.Array:
        def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            h = jnp.tanh(x @ own["w"] + h @ own["u"] + own["b"])
            return h, h

        return jax.lax.scan(step, jnp.zeros((xs.shape[1], 4), xs.dtype), xs)[1]

    there, back = states(params["forth"], xs), states(params["back"], xs[::-1])[::-1]
    return jnp.mean((jnp.concatenate([there, back], axis=-1) @ params["v"] - y) ** 2)


def states_of(own: Any, xs: jax.Array) -> jax.Array:
    """Computes the states of one direction, (T, B, H)."""
    h, found = jnp.zeros((xs.shape[1], 4), xs.dtype), []
    for x in xs:
        h = jnp.tanh(x @ own["w"] + h @ own["u"] + own["b"])
        found.append(h)
    return jnp.stack(found)


def direction_bwd(own: Any, xs: jax.Array, hs: jax.Array, dhs: jax.Array) -> dict[str, jax.Array]:
    """Goes back through one direction, whose first step comes first."""
    dh, dzs = jnp.zeros_like(hs[0]), []
    for t in reversed(range(len(xs))):
        dz = (dhs[t] + dh) * (1 - hs[t] ** 2)
        dh = dz @ own["u"].T
        dzs.insert(0, dz)
    dz, before = jnp.stack(dzs), jnp.concatenate([jnp.zeros_like(hs[:1]), hs[:-1]])
    return {
        "w": jnp.einsum("tbi,tbh->ih", xs, dz),
        "u": jnp.einsum("tbk,tbh->kh", before, dz),
        "b": dz.sum(axis=(0, 1)),
    }


def back_bwd(own: Any, xs: jax.Array, hs: jax.Array, dhs: jax.Array) -> dict[str, jax.Array]:
    """Turns what is in the order of the steps to the order of its own."""
    return direction_bwd(own, xs[::-1], hs[::-1], dhs[::-1])


def halves(dboth: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The first half belongs to the direction forth, the second to the one back."""
    return dboth[..., :4], dboth[..., 4:]


def both(
    params: Any,
    xs: jax.Array,
    y: jax.Array,
    *,
    forth_bwd: Any = direction_bwd,
    back_bwd: Any = back_bwd,
    halves: Any = halves,
) -> tuple[Any, Any]:
    """Goes back through the read-out and through each direction."""
    there, back = states_of(params["forth"], xs), states_of(params["back"], xs[::-1])[::-1]
    hs = jnp.concatenate([there, back], axis=-1)
    error = hs @ params["v"] - y

    dout = 2 * error / error.size
    dthere, dback = halves(dout @ params["v"].T)
    return (error**2).mean(), {
        "forth": forth_bwd(params["forth"], xs, there, dthere),
        "back": back_bwd(params["back"], xs, back, dback),
        "v": jnp.einsum("tbh,tbo->ho", hs, dout),
    }


BOTH = Original("lengths", both_loss, both, make_both)
FORTH = ("forth/w", "forth/u", "forth/b")
BACK = ("back/w", "back/u", "back/b")


@BOTH.mutant("wrong_places", *FORTH, *BACK, aliases=("wrong_value",))
def directions_swapped(*inputs: Any) -> tuple[Any, Any]:
    """The halves of the read-out's gradient go to the other direction each."""
    return both(*inputs, halves=lambda d: (d[..., 4:], d[..., :4]))  # bug


@BOTH.mutant("time_reversed", "back/w", aliases=("wrong_places", "wrong_value"))
def inputs_not_turned_back(*inputs: Any) -> tuple[Any, Any]:
    """dw of the direction back takes the inputs in their order, and dz in the opposite one."""

    def unturned(own: Any, xs: jax.Array, hs: jax.Array, dhs: jax.Array) -> dict[str, jax.Array]:
        return direction_bwd(own, xs, hs[::-1], dhs[::-1])  # bug

    return both(*inputs, back_bwd=unturned)


@BOTH.mutant(None, "forth/u", aliases=("wrong_value", "wrong_places"))
def state_after_in_one_product(*inputs: Any) -> tuple[Any, Any]:
    """du = Σ h_tᵀ dz_t in one product; the state that step t read is h_t−1."""

    def unshifted(own: Any, xs: jax.Array, hs: jax.Array, dhs: jax.Array) -> dict[str, jax.Array]:
        dh, dzs = jnp.zeros_like(hs[0]), []
        for t in reversed(range(len(xs))):
            dz = (dhs[t] + dh) * (1 - hs[t] ** 2)
            dh = dz @ own["u"].T
            dzs.insert(0, dz)
        dz = jnp.stack(dzs)
        du = jnp.einsum("tbk,tbh->kh", hs, dz)  # bug
        return {"w": jnp.einsum("tbi,tbh->ih", xs, dz), "u": du, "b": dz.sum(axis=(0, 1))}

    return both(*inputs, forth_bwd=unshifted)


ORIGINALS = (LENGTHS, BOTH)
