"""Long short-term memory (Hochreiter & Schmidhuber 1997), with a forget gate (Gers et al. 2000).

Legend: t step; h is the state, c the cell; i, f, o are the gates of input, forgetting and output, g
is the candidate; ĉ = tanh(c). Rows are examples. The four blocks of every weight are i, f, g, o, as
in PyTorch and flax.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from manual.rules.recurrent import _steps as steps
from manual.rules.rule import Rule

__all__ = ["lstm", "lstm_bwd", "lstm_fwd"]

States = tuple[jax.Array, jax.Array, jax.Array]
"""Every h, the last h and the last c."""
Step = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""[i, f, g, o], [x_t, h_(t−1)], c_(t−1) and ĉ_t."""
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

    z_t = x_t W + h_(t−1) U + b = [x_t, h_(t−1)] [W; U] + b, one matrix product a step. With
    σ(z) = ½ + ½ tanh(z/2) all four blocks are one tanh, scaled by column.

    Shapes: x (batch, time, n_in), h0 and c0 (batch, n), w_x (n_in, 4 n), w_h (n, 4 n), b (4 n,),
    lengths (batch,) of an integer dtype, or None -> every h (batch, time, n), the last h and c
    (batch, n).

    From the length of an example on, its steps are padding: h and c stay. With `reverse` time runs
    from the last step to the first, and the padding comes first.

    Raises:
        AssertionError: if shapes or dtypes are not these.
    """
    steps.assert_shapes(x, (h0, c0), w_x, w_h, b, lengths, 4)
    scale, shift = _columns(w_h.shape[0], x.dtype)
    # Times ½ and 1, which is exact.
    w, bias = jnp.concatenate([w_x, w_h]) * scale, b * scale

    def step(
        state: tuple[jax.Array, jax.Array], at: tuple[jax.Array, jax.Array | None]
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, Step]]:
        (h, c), (x, runs) = state, at
        seen = jnp.concatenate([x, h], axis=1)
        # Kept from being computed once for each block that is cut out of it.
        gates = lax.optimization_barrier(jnp.tanh(seen @ w + bias) * scale + shift)
        i, f, g, o = jnp.split(gates, 4, axis=1)
        new_c = f * c + i * g
        squashed = jnp.tanh(new_c)
        new_h = steps.choose(runs, o * squashed, h)
        return (new_h, steps.choose(runs, new_c, c)), (new_h, (gates, seen, c, squashed))

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

    The loop leaves dz behind, and [dW; dU] = Σ_tb [x_t, h_(t−1)]ᵀ dz_t is one matrix product after
    it. dx_t comes with dh_(t−1): [dx_t, dh_(t−1)] = dz_t [W; U]ᵀ.

    A step of padding passes dh and dc on, and has dz_t = 0.
    """
    w_x, w_h, (gates, seen, before, squashed), lengths = residuals
    dy, dh, dc = d_out
    n_in = w_x.shape[0]
    transposed = jnp.concatenate([w_x, w_h]).T
    runs = steps.running(lengths, len(gates))

    def step(
        state: tuple[jax.Array, jax.Array], at: Any
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        (dh, dc), (dy, gates, c, squashed, runs) = state, at
        i, f, g, o = jnp.split(gates, 4, axis=1)
        dh = dh + dy
        full_dc = dc + dh * o * ((1 - squashed) * (1 + squashed))
        # Kept from being computed once for each block.
        dh, full_dc = lax.optimization_barrier((dh, full_dc))
        dz = jnp.concatenate(
            [
                full_dc * g * (i * (1 - i)),
                full_dc * c * (f * (1 - f)),
                full_dc * i * ((1 - g) * (1 + g)),
                dh * squashed * (o * (1 - o)),
            ],
            axis=1,
        )
        dz = steps.choose(runs, dz, 0)
        dseen = dz @ transposed
        passed = steps.choose(runs, dseen[:, n_in:], dh), steps.choose(runs, full_dc * f, dc)
        return passed, (dz, dseen[:, :n_in])

    at = steps.time_first(dy), gates, before, squashed, runs
    (dh0, dc0), (dz, dx) = lax.scan(step, (dh, dc), at, reverse=not reverse)
    dw = steps.weight(seen, dz)
    return steps.batch_first(dx), dh0, dc0, dw[:n_in], dw[n_in:], steps.summed(dz), None


lstm = Rule(lstm_fwd, lstm_bwd)


def _columns(n: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """s and m of m + s tanh(s z): ½ and ½ make σ(z), 1 and 0 make tanh z."""
    candidate = np.repeat([False, False, True, False], n)
    return np.where(candidate, 1, 0.5).astype(dtype), np.where(candidate, 0, 0.5).astype(dtype)
