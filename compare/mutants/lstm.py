"""The LSTM (Hochreiter & Schmidhuber 1997), read at every step and from its last cell.

B batch, T time, H hidden; i, f, g, o are the gates of a step, in this order in every weight: input,
forget, candidate, output. dname is the derivative of the loss with respect to name; d_ before it is
the derivative before the activation. The candidates go back through time as people write it down.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

Arrays = tuple[jax.Array, ...]


def make(seed: int) -> tuple[Any, ...]:
    """Draws a cell, its start, two read-outs and a batch of 5 with 3 steps: (params, xs, ys, y)."""
    rng = np.random.default_rng(seed)
    params = {
        "w": normal(rng, 2, 16),
        "u": normal(rng, 4, 16, scale=0.6),
        "b": normal(rng, 16, scale=0.5),
        "h0": normal(rng, 5, 4, scale=0.5),
        "c0": normal(rng, 5, 4),
        "v": normal(rng, 4, 3),
        "r": normal(rng, 4, 2),
    }
    return params, normal(rng, 3, 5, 2), normal(rng, 3, 5, 3), normal(rng, 5, 2)


def loss(params: Any, xs: jax.Array, ys: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared errors of a prediction at every step and of one from the last cell."""

    def step(state: Arrays, x: jax.Array) -> tuple[Arrays, jax.Array]:
        h, c = state
        z = x @ params["w"] + h @ params["u"] + params["b"]
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    (_, c), hs = jax.lax.scan(step, (params["h0"], params["c0"]), xs)
    return jnp.mean((hs @ params["v"] - ys) ** 2) + jnp.mean((c @ params["r"] - y) ** 2)


def sigmoid(z: jax.Array) -> jax.Array:
    """Computes 1 / (1 + e⁻ᶻ)."""
    return 1 / (1 + jnp.exp(-z))


def output_bwd(dh: jax.Array, dc: jax.Array, o: jax.Array, c: jax.Array) -> Arrays:
    """do = dh ⊙ tanh c, and dc grows by dh ⊙ o ⊙ (1 − tanh² c), where h = o tanh c."""
    a = jnp.tanh(c)
    return dh * a, dc + dh * o * (1 - a**2)


def cell_bwd(dc: jax.Array, i: jax.Array, f: jax.Array, g: jax.Array, before: jax.Array) -> Arrays:
    """di = dc ⊙ g, df = dc ⊙ c_before, dg = dc ⊙ i, dc_before = dc ⊙ f: c = f c_before + i g."""
    return dc * g, dc * before, dc * i, dc * f


def gates_bwd(di: Any, df: Any, dg: Any, do: Any, i: Any, f: Any, g: Any, o: Any) -> jax.Array:
    """Goes back through σ and, for the candidate, tanh; side by side as in the weights."""
    d_i = di * i * (1 - i)
    d_f = df * f * (1 - f)
    d_g = dg * (1 - g**2)
    d_o = do * o * (1 - o)
    return jnp.concatenate([d_i, d_f, d_g, d_o], axis=-1)


def weights_bwd(dz: jax.Array, x: jax.Array, h: jax.Array) -> Arrays:
    """dw = xᵀ dz, du = h_beforeᵀ dz, db = Σ_batch dz."""
    return x.T @ dz, h.T @ dz, dz.sum(axis=0)


def carry_bwd(dz: jax.Array, u: jax.Array) -> jax.Array:
    """dh_before = dz uᵀ."""
    return dz @ u.T


def last_cell_bwd(dsummary: jax.Array, r: jax.Array) -> jax.Array:
    """dc = dsummary rᵀ, the gradient that the loss sends to the last cell."""
    return dsummary @ r.T


def correct(
    params: Any,
    xs: jax.Array,
    ys: jax.Array,
    y: jax.Array,
    *,
    output_bwd: Any = output_bwd,
    cell_bwd: Any = cell_bwd,
    gates_bwd: Any = gates_bwd,
    weights_bwd: Any = weights_bwd,
    carry_bwd: Any = carry_bwd,
    last_cell_bwd: Any = last_cell_bwd,
) -> tuple[Any, Any]:
    """Goes back through both read-outs, then from the last step to the first."""
    w, u, b = params["w"], params["u"], params["b"]
    h, c, steps, hs = params["h0"], params["c0"], [], []
    for x in xs:
        i, f, g, o = jnp.split(x @ w + h @ u + b, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o)
        after = f * c + i * g
        steps.append((x, h, c, i, f, g, o, after))
        h, c = o * jnp.tanh(after), after
        hs.append(h)
    states = jnp.stack(hs)
    error, miss = states @ params["v"] - ys, c @ params["r"] - y

    dout, dsummary = 2 * error / error.size, 2 * miss / miss.size
    dh, dc = jnp.zeros_like(h), last_cell_bwd(dsummary, params["r"])
    dw, du, db = jnp.zeros_like(w), jnp.zeros_like(u), jnp.zeros_like(b)
    for t in reversed(range(len(xs))):
        x, before, c_before, i, f, g, o, after = steps[t]
        dh = dh + dout[t] @ params["v"].T
        do, dc = output_bwd(dh, dc, o, after)
        di, df, dg, dc = cell_bwd(dc, i, f, g, c_before)
        dz = gates_bwd(di, df, dg, do, i, f, g, o)
        of_w, of_u, of_b = weights_bwd(dz, x, before)
        dw, du, db = dw + of_w, du + of_u, db + of_b
        dh = carry_bwd(dz, u)
    dv = jnp.einsum("tbh,tbo->ho", states, dout)
    grads = {"w": dw, "u": du, "b": db, "h0": dh, "c0": dc, "v": dv, "r": c.T @ dsummary}
    return (error**2).mean() + (miss**2).mean(), grads


LSTM = Original("lstm", loss, correct, make)
SPOILED = ("w", "u", "b", "h0", "c0")


@LSTM.mutant("wrong_places", *SPOILED)
def input_and_forget_swapped(*inputs: Any) -> tuple[Any, Any]:
    """The gates are put side by side as f, i, g, o; the weights have i, f, g, o."""

    def swapped(di: Any, df: Any, dg: Any, do: Any, i: Any, f: Any, g: Any, o: Any) -> jax.Array:
        d_i, d_f = di * i * (1 - i), df * f * (1 - f)
        d_g, d_o = dg * (1 - g**2), do * o * (1 - o)
        return jnp.concatenate([d_f, d_i, d_g, d_o], axis=-1)  # bug

    return correct(*inputs, gates_bwd=swapped)


@LSTM.mutant("wrong_places", *SPOILED)
def gates_in_the_order_of_another_library(*inputs: Any) -> tuple[Any, Any]:
    """The order is i, f, o, g on the way back, as in some papers, and i, f, g, o in the weights."""

    def ordered(di: Any, df: Any, dg: Any, do: Any, i: Any, f: Any, g: Any, o: Any) -> jax.Array:
        d_gates = [d * y * (1 - y) for d, y in ((di, i), (df, f), (do, o))]
        return jnp.concatenate([*d_gates, dg * (1 - g**2)], axis=-1)  # bug

    return correct(*inputs, gates_bwd=ordered)


@LSTM.mutant("wrong_derivative", *SPOILED, aliases=("wrong_value",))
def derivative_of_the_wrong_gate(*inputs: Any) -> tuple[Any, Any]:
    """The input gate's gradient takes the slope of the forget gate: a line copied, half changed."""

    def copied(di: Any, df: Any, dg: Any, do: Any, i: Any, f: Any, g: Any, o: Any) -> jax.Array:
        d_i = di * f * (1 - f)  # bug
        d_f = df * f * (1 - f)
        d_g = dg * (1 - g**2)
        d_o = do * o * (1 - o)
        return jnp.concatenate([d_i, d_f, d_g, d_o], axis=-1)

    return correct(*inputs, gates_bwd=copied)


@LSTM.mutant("wrong_activation", *SPOILED, aliases=("wrong_derivative",))
def candidate_taken_for_a_gate(*inputs: Any) -> tuple[Any, Any]:
    """The candidate is a tanh and is differentiated as a sigmoid, like the three gates."""

    def alike(di: Any, df: Any, dg: Any, do: Any, i: Any, f: Any, g: Any, o: Any) -> jax.Array:
        d, y = jnp.concatenate([di, df, dg, do], -1), jnp.concatenate([i, f, g, o], -1)
        return d * y * (1 - y)  # bug

    return correct(*inputs, gates_bwd=alike)


@LSTM.mutant("missing_activation_derivative", *SPOILED)
def forget_gate_without_its_sigmoid(*inputs: Any) -> tuple[Any, Any]:
    """df goes into the product as it is: the sigmoid of the forget gate is left out."""

    def forgotten(di: Any, df: Any, dg: Any, do: Any, i: Any, f: Any, g: Any, o: Any) -> jax.Array:
        d_i, d_g, d_o = di * i * (1 - i), dg * (1 - g**2), do * o * (1 - o)
        return jnp.concatenate([d_i, df, d_g, d_o], axis=-1)  # bug

    return correct(*inputs, gates_bwd=forgotten)


@LSTM.mutant("activation_derivative_at_output", *SPOILED)
def candidate_derivative_at_its_output(*inputs: Any) -> tuple[Any, Any]:
    """1 − tanh²(g), where g is the tanh already."""

    def twice(di: Any, df: Any, dg: Any, do: Any, i: Any, f: Any, g: Any, o: Any) -> jax.Array:
        d_i, d_f, d_o = di * i * (1 - i), df * f * (1 - f), do * o * (1 - o)
        d_g = dg * (1 - jnp.tanh(g) ** 2)  # bug
        return jnp.concatenate([d_i, d_f, d_g, d_o], axis=-1)

    return correct(*inputs, gates_bwd=twice)


@LSTM.mutant("time_steps_truncated", *SPOILED, aliases=("path_cut",))
def cell_path_cut(*inputs: Any) -> tuple[Any, Any]:
    """Only dh goes to the step before; the cell, which an LSTM is for, hands nothing back."""

    def no_cell(
        dc: jax.Array, i: jax.Array, f: jax.Array, g: jax.Array, before: jax.Array
    ) -> Arrays:
        return dc * g, dc * before, dc * i, jnp.zeros_like(dc)  # bug

    return correct(*inputs, cell_bwd=no_cell)


@LSTM.mutant("missing_factor", *SPOILED)
def cell_kept_without_the_forget_gate(*inputs: Any) -> tuple[Any, Any]:
    """dc goes to the step before as it is, as in the first LSTM, which had no forget gate."""

    def constant(
        dc: jax.Array, i: jax.Array, f: jax.Array, g: jax.Array, before: jax.Array
    ) -> Arrays:
        return dc * g, dc * before, dc * i, dc  # bug

    return correct(*inputs, cell_bwd=constant)


@LSTM.mutant("overwritten_not_accumulated", *SPOILED, aliases=("path_cut",))
def cell_gradient_overwritten(*inputs: Any) -> tuple[Any, Any]:
    """dc = ... where dc += ... belongs: what came from the step behind is lost."""

    def assigned(dh: jax.Array, dc: jax.Array, o: jax.Array, c: jax.Array) -> Arrays:
        del dc
        a = jnp.tanh(c)
        return dh * a, dh * o * (1 - a**2)  # bug

    return correct(*inputs, output_bwd=assigned)


@LSTM.mutant("path_cut", *SPOILED, aliases=("overwritten_not_accumulated",))
def last_cell_gradient_lost(*inputs: Any) -> tuple[Any, Any]:
    """The loop starts with dc = 0, as it starts with dh = 0; the loss reads the last cell too."""
    return correct(*inputs, last_cell_bwd=lambda dsummary, r: jnp.zeros((5, 4)))  # bug


@LSTM.mutant("wrong_value", *SPOILED)
def cell_after_instead_of_before(*inputs: Any) -> tuple[Any, Any]:
    """df = dc ⊙ c with the cell of the step itself, which is not the one that f multiplies."""

    def after(dc: jax.Array, i: jax.Array, f: jax.Array, g: jax.Array, before: jax.Array) -> Arrays:
        c = f * before + i * g
        return dc * g, dc * c, dc * i, dc * f  # bug

    return correct(*inputs, cell_bwd=after)


@LSTM.mutant("missing_activation_derivative", *SPOILED)
def tanh_of_the_cell_left_out(*inputs: Any) -> tuple[Any, Any]:
    """dc grows by dh ⊙ o: the cell's tanh on its way to h has no derivative."""

    def linear(dh: jax.Array, dc: jax.Array, o: jax.Array, c: jax.Array) -> Arrays:
        return dh * jnp.tanh(c), dc + dh * o  # bug

    return correct(*inputs, output_bwd=linear)


@LSTM.mutant("wrong_derivative", *SPOILED, aliases=("wrong_activation",))
def cell_taken_for_its_own_tanh(*inputs: Any) -> tuple[Any, Any]:
    """1 − c², where c is what the tanh is taken of."""

    def of_the_input(dh: jax.Array, dc: jax.Array, o: jax.Array, c: jax.Array) -> Arrays:
        return dh * jnp.tanh(c), dc + dh * o * (1 - c**2)  # bug

    return correct(*inputs, output_bwd=of_the_input)


@LSTM.mutant("missing_factor", *SPOILED)
def output_gate_left_out_of_the_cell(*inputs: Any) -> tuple[Any, Any]:
    """dc grows by dh ⊙ (1 − tanh² c), without the output gate."""

    def ungated(dh: jax.Array, dc: jax.Array, o: jax.Array, c: jax.Array) -> Arrays:
        a = jnp.tanh(c)
        return dh * a, dc + dh * (1 - a**2)  # bug

    return correct(*inputs, output_bwd=ungated)


@LSTM.mutant("wrong_value", *SPOILED)
def output_gate_reads_the_cell_itself(*inputs: Any) -> tuple[Any, Any]:
    """do = dh ⊙ c, where the gate multiplies tanh c."""

    def of_c(dh: jax.Array, dc: jax.Array, o: jax.Array, c: jax.Array) -> Arrays:
        return dh * c, dc + dh * o * (1 - jnp.tanh(c) ** 2)  # bug

    return correct(*inputs, output_bwd=of_c)


@LSTM.mutant("bias_averaged", "b", aliases=("constant_factor", "extra_batch_mean"))
def bias_averaged_at_every_step(*inputs: Any) -> tuple[Any, Any]:
    """db grows by the mean over the batch; the loss is a mean already."""
    return correct(*inputs, weights_bwd=lambda dz, x, h: (x.T @ dz, h.T @ dz, dz.mean(0)))  # bug


@LSTM.mutant(None, *SPOILED, aliases=("path_cut", "time_steps_truncated"))
def state_carried_by_one_gate(*inputs: Any) -> tuple[Any, Any]:
    """dh goes back through the candidate's block of u alone; all four gates read h."""
    return correct(*inputs, carry_bwd=lambda dz, u: dz[:, 8:12] @ u[:, 8:12].T)  # bug


ORIGINALS = (LSTM,)
