"""The gated recurrent unit (Cho et al. 2014), and the variant of cuDNN.

Legend: t step; h is the state; r is the reset gate, u the update gate (z in the paper, where z here
is what enters the gates), n the candidate. Rows are examples. The three blocks of every weight are
r, u, n, as in PyTorch and flax.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from manual.rules.recurrent import _steps as steps
from manual.rules.rule import Rule

__all__ = ["gru", "gru_bwd", "gru_fwd"]

States = tuple[jax.Array, jax.Array]
"""Every state, and the last."""
Gates = tuple[jax.Array, jax.Array, jax.Array]
"""r, u, n, each a piece of memory of its own: three loops over such are faster than one."""
Step = tuple[Gates, jax.Array, jax.Array]
"""The gates, h_(t−1), and r h_(t−1), or h_(t−1) U_n + b_n with `reset_after`."""
Kept = tuple[jax.Array, jax.Array, jax.Array, Step, jax.Array | None]
"""x, W, U, the steps with time first, and the lengths."""


def gru_fwd(
    x: jax.Array,
    h0: jax.Array,
    w_x: jax.Array,
    w_h: jax.Array,
    b: jax.Array,
    b_n: jax.Array,
    lengths: jax.Array | None = None,
    *,
    reset_after: bool = False,
    reverse: bool = False,
) -> tuple[States, Kept]:
    """h_t = u h_(t−1) + (1 − u) n,  r, u = σ(x W + h U + b),  n = tanh(x W_n + b + a).

    a is (r h_(t−1)) U_n + b_n: the gate resets the state before the matrix (Cho et al. 2014, eq. 5
    to 8). With `reset_after` it is r (h_(t−1) U_n + b_n): one matrix product gives all of h U,
    which is why cuDNN, PyTorch and Keras have it so. Each block takes its own part of W, U and b.

    Shapes: x (batch, time, n_in), h0 (batch, n), w_x (n_in, 3 n), w_h (n, 3 n), b (3 n,), b_n (n,),
    lengths (batch,) of an integer dtype, or None -> every state (batch, time, n), the last
    (batch, n).

    From the length of an example on, its steps are padding: h stays. With `reverse` time runs from
    the last step to the first, and the padding comes first.

    Raises:
        AssertionError: if shapes or dtypes are not these.
    """
    steps.assert_shapes(x, (h0,), w_x, w_h, b, lengths, 3)
    steps.assert_shapes(x, (h0,), w_x[:, : h0.shape[1]], w_h[:, : h0.shape[1]], b_n, lengths, 1)
    n = h0.shape[1]
    gates_h, candidate_h = w_h[:, : 2 * n], w_h[:, 2 * n :]

    def step(
        h: jax.Array, at: tuple[jax.Array, jax.Array | None]
    ) -> tuple[jax.Array, tuple[jax.Array, Step]]:
        x, runs = at
        from_x, from_h = x @ w_x + b, h @ gates_h
        r, u = (lax.logistic(from_x[:, i : i + n] + from_h[:, i : i + n]) for i in (0, n))
        # What several loops read is kept from being computed once for each of them.
        r, u = lax.optimization_barrier((r, u))
        if reset_after:
            inner = lax.optimization_barrier(h @ candidate_h + b_n)
            candidate = from_x[:, 2 * n :] + r * inner
        else:
            inner = lax.optimization_barrier(r * h)
            candidate = from_x[:, 2 * n :] + inner @ candidate_h + b_n
        candidate = lax.optimization_barrier(jnp.tanh(candidate))
        new = steps.choose(runs, u * h + (1 - u) * candidate, h)
        return new, (new, ((r, u, candidate), h, inner))

    xs = steps.time_first(x)
    last, (every, kept) = lax.scan(step, h0, (xs, steps.running(lengths, len(xs))), reverse=reverse)
    return (steps.batch_first(every), last), (x, w_x, w_h, kept, lengths)


def gru_bwd(
    residuals: Kept, d_out: States, *, reset_after: bool = False, reverse: bool = False
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, None]:
    """dW = Σ_t x_tᵀ dz_t,  db = Σ_tb dz_t,  dU and db_n the same sums of what enters them.

    With dh_t = ∂L/∂(output t) + what step t + 1 hands back, and p_n what enters tanh,

        dn = dh (1 − u),     dp_n = dn (1 − n²)
        du = dh (h_(t−1) − n),   dz_u = du u (1 − u),   dz_r = dr r (1 − r)
        dz = [dz_r, dz_u, dp_n],

    and the two variants differ in dr and in what is handed back:

        reset before:  v = dp_n U_nᵀ,     dr = v h_(t−1),             dU_n = Σ (r h_(t−1))ᵀ dp_n
                       dh_(t−1) = dh u + [dz_r, dz_u] U_ruᵀ + v r
        reset after:   v = dp_n r,        dr = dp_n (h_(t−1) U_n + b_n),  dU_n = Σ h_(t−1)ᵀ v
                       dh_(t−1) = dh u + [dz_r, dz_u, v] Uᵀ

    b_n stands beside U_n, so db_n = Σ dp_n and Σ v. dU_ru = Σ h_(t−1)ᵀ [dz_r, dz_u]. dh u is the
    path that passes no matrix. The loop leaves dp_n and what enters U behind, [dz_r, dz_u] or
    [dz_r, dz_u, v]; each sum over the steps is one matrix product after it.

    A step of padding passes dh on, and has dz = 0.
    """
    x, w_x, w_h, (gates, before, inner), lengths = residuals
    dy, dlast = d_out
    n = w_h.shape[0]
    gates_h, candidate_h = w_h[:, : 2 * n].T, w_h[:, 2 * n :].T
    runs = steps.running(lengths, len(before))

    def step(dh: jax.Array, at: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        dy, (r, u, candidate), h, inner, runs = at
        # Kept from being computed once for each block.
        dh = lax.optimization_barrier(dh + dy)
        dp = steps.choose(runs, dh * (1 - u) * ((1 - candidate) * (1 + candidate)), 0)
        dz_u = steps.choose(runs, dh * (h - candidate) * (u * (1 - u)), 0)
        dp, dz_u = lax.optimization_barrier((dp, dz_u))
        if reset_after:
            v = dp * r
            blocks = dp * inner * (r * (1 - r)), dz_u, v
        else:
            v = dp @ candidate_h
            blocks = v * h * (r * (1 - r)), dz_u
        # Put together after each is done: a loop over all would ask at each entry which it is.
        dz = lax.optimization_barrier(jnp.concatenate(lax.optimization_barrier(blocks), axis=1))
        back = dh * u + (dz @ w_h.T if reset_after else v * r + dz @ gates_h)
        return steps.choose(runs, back, dh), (dz, dp)

    at = steps.time_first(dy), gates, before, inner if reset_after else None, runs
    dh0, (dz, dp) = lax.scan(step, dlast, at, reverse=not reverse)
    first, dz_gates = steps.time_first(x), dz[..., : 2 * n]
    du, db, db_candidate = steps.weight(before, dz), steps.summed(dz), steps.summed(dp)
    if not reset_after:
        du = jnp.concatenate([du, steps.weight(inner, dp)], axis=1)
    return (
        steps.batch_first(dz_gates @ w_x[:, : 2 * n].T + dp @ w_x[:, 2 * n :].T),
        dh0,
        jnp.concatenate([steps.weight(first, dz_gates), steps.weight(first, dp)], axis=1),
        du,
        jnp.concatenate([db[: 2 * n], db_candidate]),
        db[2 * n :] if reset_after else db_candidate,
        None,
    )


gru = Rule(gru_fwd, gru_bwd)
