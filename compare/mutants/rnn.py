"""Recurrent networks: Elman's, with a loss at every step or at the last, and one with a gate.

T time, B batch, H hidden. dname is the derivative of the loss with respect to name. The backward
passes are backpropagation through time (Werbos 1990; Goodfellow et al. 2016, §10.2.2).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

RECURRENT = ("wx", "wh", "b")


def make_inputs(seed: int, *target: int) -> tuple[Any, ...]:
    """Draws an RNN with a read-out, and five steps of a batch of 7: (params, h0, xs, ys)."""
    rng = np.random.default_rng(seed)
    params = {
        "wx": normal(rng, 3, 4, scale=0.6),
        "wh": normal(rng, 4, 4, scale=0.6),
        "b": normal(rng, 4, scale=0.5),
        "v": normal(rng, 4, 2),
        "c": normal(rng, 2),
    }
    return params, normal(rng, 7, 4), normal(rng, 5, 7, 3), normal(rng, *target)


def make(seed: int) -> tuple[Any, ...]:
    """Draws inputs with a target for every step: (params, h0, xs, ys)."""
    return make_inputs(seed, 5, 7, 2)


def make_last(seed: int) -> tuple[Any, ...]:
    """Draws inputs with a target for the last step: (params, h0, xs, y)."""
    return make_inputs(seed, 7, 2)


def loss(params: Any, h0: jax.Array, xs: jax.Array, ys: jax.Array) -> jax.Array:
    """Computes the squared error of a prediction at every step."""

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jnp.tanh(x @ params["wx"] + h @ params["wh"] + params["b"])
        return h, h

    _, hs = jax.lax.scan(step, h0, xs)
    return jnp.mean((hs @ params["v"] + params["c"] - ys) ** 2)


def last_loss(params: Any, h0: jax.Array, xs: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of one prediction after the last step."""

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
        return jnp.tanh(x @ params["wx"] + h @ params["wh"] + params["b"]), None

    h, _ = jax.lax.scan(step, h0, xs)
    return jnp.mean((h @ params["v"] + params["c"] - y) ** 2)


def states(params: Any, h0: jax.Array, xs: jax.Array) -> list[jax.Array]:
    """Computes h at every time, the initial state first."""
    hs = [h0]
    for x in xs:
        hs.append(jnp.tanh(x @ params["wx"] + hs[-1] @ params["wh"] + params["b"]))
    return hs


def tanh_bwd(dh: jax.Array, h: jax.Array) -> jax.Array:
    """dz = dh ⊙ (1 − h²)."""
    return dh * (1 - h**2)


def carry_bwd(dz: jax.Array, wh: jax.Array) -> jax.Array:
    """dh = dz whᵀ, the gradient that a step hands to the step before it."""
    return dz @ wh.T


def add(total: jax.Array, term: jax.Array) -> jax.Array:
    """dw += term, at each step."""
    return total + term


def read(hs: list[jax.Array], t: int) -> jax.Array:
    """Returns the state that step t read; hs begins with the state before step 0."""
    return hs[t]


def through_time(
    params: Any,
    hs: list[jax.Array],
    xs: jax.Array,
    dhs: list[jax.Array],
    *,
    tanh_bwd: Any = tanh_bwd,
    carry_bwd: Any = carry_bwd,
    add: Any = add,
    read: Any = read,
    steps: int | None = None,
) -> dict[str, Any]:
    """Computes the recurrent gradients from the last step to the first.

    dhs holds the gradient that the loss itself sends to h at each step.
    """
    grads = {name: jnp.zeros_like(params[name]) for name in RECURRENT}
    dh_next = jnp.zeros_like(hs[0])
    first = 0 if steps is None else len(xs) - steps
    for t in range(len(xs) - 1, first - 1, -1):
        dz = tanh_bwd(dhs[t] + dh_next, hs[t + 1])
        grads["wx"] = add(grads["wx"], xs[t].T @ dz)
        grads["wh"] = add(grads["wh"], read(hs, t).T @ dz)
        grads["b"] = add(grads["b"], dz.sum(axis=0))
        dh_next = carry_bwd(dz, params["wh"])
    return grads


def correct(
    params: Any, h0: jax.Array, xs: jax.Array, ys: jax.Array, **mistake: Any
) -> tuple[Any, Any]:
    """Goes back through the read-out of every step, then through time."""
    hs = states(params, h0, xs)
    error = jnp.stack(hs[1:]) @ params["v"] + params["c"] - ys
    dout = 2 * error / error.size
    grads = through_time(params, hs, xs, [d @ params["v"].T for d in dout], **mistake)
    grads["v"] = sum(h.T @ d for h, d in zip(hs[1:], dout, strict=True))
    return (error**2).mean(), grads | {"c": dout.sum(axis=(0, 1))}


def correct_last(
    params: Any, h0: jax.Array, xs: jax.Array, y: jax.Array, **mistake: Any
) -> tuple[Any, Any]:
    """Goes back through the read-out of the last step, then through time."""
    hs = states(params, h0, xs)
    error = hs[-1] @ params["v"] + params["c"] - y
    dout = 2 * error / error.size
    dhs = [jnp.zeros_like(h0)] * (len(xs) - 1) + [dout @ params["v"].T]
    grads = through_time(params, hs, xs, dhs, **mistake)
    return (error**2).mean(), grads | {"v": hs[-1].T @ dout, "c": dout.sum(axis=0)}


EVERY_STEP = Original("rnn", loss, correct, make)
LAST_STEP = Original("rnn", last_loss, correct_last, make_last)


@EVERY_STEP.mutant("time_steps_truncated", *RECURRENT)
def no_gradient_from_the_next_step(*inputs: Any) -> tuple[Any, Any]:
    """Each step learns from its own error only: dh_next is never carried back."""
    return correct(*inputs, carry_bwd=lambda dz, wh: jnp.zeros_like(dz))  # bug


@LAST_STEP.mutant("time_steps_truncated", *RECURRENT)
def two_steps_back_only(*inputs: Any) -> tuple[Any, Any]:
    """The loop stops two steps before the end: truncated backpropagation (Williams & Peng 1990)."""
    return correct_last(*inputs, steps=2)  # bug


@LAST_STEP.mutant("time_steps_truncated", *RECURRENT)
def last_step_only(*inputs: Any) -> tuple[Any, Any]:
    """The state before the last step is taken for an input, as in Elman's own training (1990)."""
    return correct_last(*inputs, steps=1)  # bug


@LAST_STEP.mutant("time_steps_truncated", *RECURRENT)
def first_step_left_out(*inputs: Any) -> tuple[Any, Any]:
    """range(T - 1, 0, -1) ends at 1: the first of the T steps contributes nothing."""
    return correct_last(*inputs, steps=4)  # bug


@EVERY_STEP.mutant("overwritten_not_accumulated", *RECURRENT)
def weights_overwritten_at_every_step(*inputs: Any) -> tuple[Any, Any]:
    """dw = ... in the loop where dw += ... belongs: the step at time 0, the last visited, is left.

    The weights are shared by all steps, so their gradient is a sum over steps.
    """
    return correct(*inputs, add=lambda total, term: term)  # bug


@EVERY_STEP.mutant("transposed", *RECURRENT)
def recurrent_weight_not_transposed(*inputs: Any) -> tuple[Any, Any]:
    """dh goes back through wh, not whᵀ; wh is always square, so no shape complains."""
    return correct(*inputs, carry_bwd=lambda dz, wh: dz @ wh)  # bug


@EVERY_STEP.mutant("missing_activation_derivative", *RECURRENT)
def missing_tanh_derivative(*inputs: Any) -> tuple[Any, Any]:
    """dz = dh at every step."""
    return correct(*inputs, tanh_bwd=lambda dh, h: dh)  # bug


@LAST_STEP.mutant("activation_derivative_at_output", *RECURRENT)
def tanh_derivative_at_the_state(*inputs: Any) -> tuple[Any, Any]:
    """1 − tanh²(h), where h is the tanh."""
    return correct_last(*inputs, tanh_bwd=lambda dh, h: dh * (1 - jnp.tanh(h) ** 2))  # bug


@EVERY_STEP.mutant(None, "wh", aliases=("wrong_value",))
def state_after_instead_of_before(*inputs: Any) -> tuple[Any, Any]:
    """dwh takes the state that the step produced, h_t, and not the one it read, h_t−1."""
    return correct(*inputs, read=lambda hs, t: hs[t + 1])  # bug


def make_gated(seed: int) -> tuple[Any, ...]:
    """Draws a gated unit with a read-out: (params, h0, xs, y)."""
    rng = np.random.default_rng(seed)
    params = {
        name: {"w": normal(rng, 3, 4, scale=0.7), "u": normal(rng, 4, 4, scale=0.7),
               "b": normal(rng, 4, scale=0.5)}
        for name in ("gate", "new")
    }  # fmt: skip
    params["out"] = {"v": normal(rng, 4, 2), "c": normal(rng, 2)}
    return params, normal(rng, 7, 4), normal(rng, 4, 7, 3), normal(rng, 7, 2)


def gated_loss(params: Any, h0: jax.Array, xs: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of h ← (1 − z) h + z n.

    This is the GRU (Cho et al. 2014) with its update gate z and without its reset gate.
    """
    gate, new, out = params["gate"], params["new"], params["out"]

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
        z = jax.nn.sigmoid(x @ gate["w"] + h @ gate["u"] + gate["b"])
        n = jnp.tanh(x @ new["w"] + h @ new["u"] + new["b"])
        return (1 - z) * h + z * n, None

    h, _ = jax.lax.scan(step, h0, xs)
    return jnp.mean((h @ out["v"] + out["c"] - y) ** 2)


def mix_bwd(dh: jax.Array, h: jax.Array, z: jax.Array, n: jax.Array) -> tuple[jax.Array, ...]:
    """dh ⊙ (1 − z) for h, dh ⊙ (n − h) for z, dh ⊙ z for n."""
    return dh * (1 - z), dh * (n - h), dh * z


def gated(
    params: Any, h0: jax.Array, xs: jax.Array, y: jax.Array, *, mix_bwd: Any = mix_bwd
) -> tuple[Any, Any]:
    """Goes back through time; dh has three terms: kept, through the gate, through the new."""
    gate, new, out = params["gate"], params["new"], params["out"]
    h, saved = h0, []
    for x in xs:
        z = 1 / (1 + jnp.exp(-(x @ gate["w"] + h @ gate["u"] + gate["b"])))
        n = jnp.tanh(x @ new["w"] + h @ new["u"] + new["b"])
        saved.append((x, h, z, n))
        h = (1 - z) * h + z * n
    error = h @ out["v"] + out["c"] - y

    dout = 2 * error / error.size
    dh = dout @ out["v"].T
    grads = jax.tree.map(jnp.zeros_like, {"gate": gate, "new": new})
    for x, before, z, n in reversed(saved):
        dkept, dz, dn = mix_bwd(dh, before, z, n)
        dgate, dnew = dz * z * (1 - z), dn * (1 - n**2)
        for name, d in (("gate", dgate), ("new", dnew)):
            step = {"w": x.T @ d, "u": before.T @ d, "b": d.sum(axis=0)}
            grads[name] = {leaf: grads[name][leaf] + step[leaf] for leaf in step}
        dh = dkept + dgate @ gate["u"].T + dnew @ new["u"].T
    grads["out"] = {"v": h.T @ dout, "c": dout.sum(axis=0)}
    return (error**2).mean(), grads


GATED = Original("rnn", gated_loss, gated, make_gated)
GATE = ("gate/w", "gate/u", "gate/b")
NEW = ("new/w", "new/u", "new/b")


@GATED.mutant("missing_factor", *GATE, *NEW)
def state_kept_undamped(*inputs: Any) -> tuple[Any, Any]:
    """The part of the state that is kept gets the gradient dh, without its factor 1 − z."""
    return gated(*inputs, mix_bwd=lambda dh, h, z, n: (dh, dh * (n - h), dh * z))  # bug


@GATED.mutant("path_cut", *GATE, *NEW, aliases=("overwritten_not_accumulated",))
def gate_learns_from_the_new_only(*inputs: Any) -> tuple[Any, Any]:
    """The gate is a factor in z n and in (1 − z) h; its gradient comes from z n alone."""
    return gated(*inputs, mix_bwd=lambda dh, h, z, n: (dh * (1 - z), dh * n, dh * z))  # bug


ORIGINALS = (EVERY_STEP, LAST_STEP, GATED)
