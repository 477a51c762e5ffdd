"""Long short-term memory (Hochreiter & Schmidhuber 1997), with a forget gate (Gers et al. 2000).

Legend: t step; h is the state, c the cell; i, f, o are the gates of input, forgetting and output, g
is the candidate; ĉ = tanh(c). Rows are examples. The four blocks of every weight are i, f, g, o, as
in PyTorch and flax.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from manual.rules.recurrent import _steps as steps
from manual.rules.rule import Rule

__all__ = ["lstm", "lstm_bwd", "lstm_fwd"]

States = tuple[jax.Array, jax.Array, jax.Array]
"""Every h, the last h and the last c."""
Gates = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""i, f, g, o, each a piece of memory of its own: four loops over such are faster than one."""
Step = tuple[Gates, jax.Array, jax.Array]
"""The gates, [x_t, h_(t−1)] and c_(t−1)."""
Kept = tuple[jax.Array, jax.Array, Step, jax.Array | None]
"""W, U, the steps with time first, and the lengths."""


def lstm_fwd(
    x: jax.Array,
    h0: jax.Array,
    c0: jax.Array,
    w_x: jax.Array,
    w_h: jax.Array,
    b: jax.Array,
    lengths: jax.Array | None = None,
    *,
    reverse: bool = False,
) -> tuple[States, Kept]:
    """c_t = f c_(t−1) + i g,  h_t = o tanh c_t,  i, f, o = σ(z),  g = tanh z, a block of z each.

    z_t = x_t W + h_(t−1) U + b = [x_t, h_(t−1)] [W; U] + b, one matrix product a step.

    Shapes: x (batch, time, n_in), h0 and c0 (batch, n), w_x (n_in, 4 n), w_h (n, 4 n), b (4 n,),
    lengths (batch,) of an integer dtype, or None -> every h (batch, time, n), the last h and c
    (batch, n).

    From the length of an example on, its steps are padding: h and c stay. With `reverse` time runs
    from the last step to the first, and the padding comes first.

    Raises:
        AssertionError: if shapes or dtypes are not these.
    """
    steps.assert_shapes(x, (h0, c0), w_x, w_h, b, lengths, 4)
    w = jnp.concatenate([w_x, w_h])

    def step(
        state: tuple[jax.Array, jax.Array], at: tuple[jax.Array, jax.Array | None]
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, Step]]:
        (h, c), (x, runs) = state, at
        seen = jnp.concatenate([x, h], axis=1)
        # What several loops read is kept from being computed once for each of them.
        i, f, g, o = jnp.split(lax.optimization_barrier(seen @ w + b), 4, axis=1)
        i, f, o = (lax.logistic(z) for z in (i, f, o))
        gates = lax.optimization_barrier((i, f, jnp.tanh(g), o))
        new_c = lax.optimization_barrier(_cell(gates, c))
        new_h = steps.choose(runs, gates[3] * jnp.tanh(new_c), h)
        return (new_h, steps.choose(runs, new_c, c)), (new_h, (gates, seen, c))

    xs = steps.time_first(x)
    (h, c), (every, kept) = lax.scan(
        step, (h0, c0), (xs, steps.running(lengths, len(xs))), reverse=reverse
    )
    return (steps.batch_first(every), h, c), (w_x, w_h, kept, lengths)


def lstm_bwd(
    residuals: Kept, d_out: States, *, reverse: bool = False
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, None]:
    """dW = Σ_t x_tᵀ dz_t,  dU = Σ_t h_(t−1)ᵀ dz_t,  db = Σ_tb dz_t,  dx_t = dz_t Wᵀ.

    h_t is used by the output t and by step t + 1, c_t by h_t and by step t + 1. Hence, with dy_t =
    ∂L/∂(output t) alone (Graves 2012, §4.6, without peepholes),

        dh_t = dy_t + dz_(t+1) Uᵀ
        dc_t = dh_t ⊙ o ⊙ (1 − ĉ²) + dc_(t+1) ⊙ f_(t+1)
        di = dc ⊙ g,   df = dc ⊙ c_(t−1),   dg = dc ⊙ i,   do = dh ⊙ ĉ
        dz = [di i(1 − i),  df f(1 − f),  dg (1 − g²),  do o(1 − o)],

    from the last step, whose dh and dc also have ∂L/∂(last h) and ∂L/∂(last c), to the first;
    dh₀ = dz_1 Uᵀ and dc₀ = dc_1 ⊙ f_1. dc is passed on times f and through no matrix: the cell is
    the path on which the gradient of distant steps survives.

    The loop leaves dz behind. [dW; dU] = Σ_tb [x_t, h_(t−1)]ᵀ dz_t is one matrix product after it,
    and so are all dx_t. ĉ_t is computed again, from c_t = f c_(t−1) + i g.

    A step of padding passes dh and dc on, and has dz_t = 0.
    """
    w_x, w_h, (gates, seen, before), lengths = residuals
    dy, dh, dc = d_out
    n_in, transposed = w_x.shape[0], w_h.T
    runs = steps.running(lengths, len(before))

    def step(
        state: tuple[jax.Array, jax.Array], at: Any
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        (dh, dc), (dy, gates, c, runs) = state, at
        i, f, g, o = gates
        squashed = jnp.tanh(_cell(gates, c))
        dh = dh + dy
        full_dc = dc + dh * o * ((1 - squashed) * (1 + squashed))
        # Kept from being computed once for each block.
        dh, full_dc, squashed = lax.optimization_barrier((dh, full_dc, squashed))
        blocks = (
            full_dc * g * (i * (1 - i)),
            full_dc * c * (f * (1 - f)),
            full_dc * i * ((1 - g) * (1 + g)),
            dh * squashed * (o * (1 - o)),
        )
        # Put together after each is done: a loop over all four would ask at each entry which it is.
        dz = jnp.concatenate(lax.optimization_barrier(blocks), axis=1)
        dz = steps.choose(runs, lax.optimization_barrier(dz), 0)
        return (
            steps.choose(runs, dz @ transposed, dh),
            steps.choose(runs, full_dc * f, dc),
        ), dz

    at = steps.time_first(dy), gates, before, runs
    (dh0, dc0), dz = lax.scan(step, (dh, dc), at, reverse=not reverse)
    dw, dx = steps.weight(seen, dz), steps.batch_first(dz @ w_x.T)
    return dx, dh0, dc0, dw[:n_in], dw[n_in:], steps.summed(dz), None


lstm = Rule(lstm_fwd, lstm_bwd)


def _cell(gates: Gates, c: jax.Array) -> jax.Array:
    """The next c."""
    i, f, g, _ = gates
    return f * c + i * g
