"""The simple recurrent layer (Elman 1990).

Legend: t step, b example; h is the state, z what enters the activation f. Rows are examples.
"""

import jax
import jax.numpy as jnp
from jax import lax

from manual.lookup import lookup
from manual.rules.recurrent import _steps as steps
from manual.rules.rule import Rule

__all__ = ["rnn", "rnn_bwd", "rnn_fwd"]

States = tuple[jax.Array, jax.Array]
"""Every state, and the last."""
Kept = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, jax.Array | None]
"""x, h₀, W, U, every h with time first, and the lengths."""

_ACTIVATIONS = {
    "tanh": (jnp.tanh, lambda h, dh: dh * ((1 - h) * (1 + h))),
    # What is neither > 0 nor 0 is NaN, and is passed on.
    "relu": (lambda z: jnp.maximum(z, 0), lambda h, dh: jnp.where(h > 0, dh, h)),
}
"""f, and (h, dh) -> dz, since the derivative of either is a function of its result."""


def rnn_fwd(
    x: jax.Array,
    h0: jax.Array,
    w_x: jax.Array,
    w_h: jax.Array,
    b: jax.Array,
    lengths: jax.Array | None = None,
    *,
    activation: str = "tanh",
    reverse: bool = False,
) -> tuple[States, Kept]:
    """h_t = f(z_t),  z_t = x_t W + h_(t−1) U + b,  f = tanh or relu.

    Shapes: x (batch, time, n_in), h0 (batch, n), w_x (n_in, n), w_h (n, n), b (n,), lengths
    (batch,) of an integer dtype, or None -> every state (batch, time, n), the last (batch, n).

    From the length of an example on, its steps are padding: h_t = h_(t−1). With `reverse` time runs
    from the last step to the first, and the padding comes first.

    Raises:
        AssertionError: if shapes or dtypes are not these.
        ValueError: if there is no such activation.
    """
    f, _ = lookup("activation of rnn", _ACTIVATIONS, activation)
    steps.assert_shapes(x, (h0,), w_x, w_h, b, lengths, 1)
    from_x = steps.time_first(x) @ w_x
    runs = steps.running(lengths, len(from_x))

    def step(h: jax.Array, at: tuple[jax.Array, jax.Array | None]) -> tuple[jax.Array, jax.Array]:
        from_x, runs = at
        h = steps.choose(runs, f(from_x + h @ w_h + b), h)
        return h, h

    last, h = lax.scan(step, h0, (from_x, runs), reverse=reverse)
    return (steps.batch_first(h), last), (x, h0, w_x, w_h, h, lengths)


def rnn_bwd(
    residuals: Kept, d_out: States, *, activation: str = "tanh", reverse: bool = False
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, None]:
    """dW = Σ_t x_tᵀ dz_t,  dU = Σ_t h_(t−1)ᵀ dz_t,  db = Σ_tb dz_t,  dx_t = dz_t Wᵀ.

    Backpropagation through time (Werbos 1990). h_t has two uses, the output and the next step, so
    with dy_t = ∂L/∂(output t) alone

        dh_t = dy_t + dz_(t+1) Uᵀ,    dz_t = dh_t ⊙ f′(z_t),

    from the last step, whose dh also has ∂L/∂(last state), to the first; dh₀ = dz_1 Uᵀ. f′ is
    1 − h² for tanh and 1(h > 0) for relu, whose kink is at relu′(0) = 0.

    dW, dU, db and dx have no part in this recursion. So the loop leaves dz alone behind, and each
    is one matrix product over all steps afterwards: Σ_t Σ_b x_tbi dz_tbj is a sum over (t, b).

    A step of padding is h_t = h_(t−1): dh_(t−1) = dh_t + dy_(t−1), and dz_t = 0.
    """
    x, h0, w_x, w_h, h, lengths = residuals
    dy, dlast = d_out
    _, into = lookup("activation of rnn", _ACTIVATIONS, activation)
    transposed = w_h.T
    runs = steps.running(lengths, len(h))

    def step(
        dh: jax.Array, at: tuple[jax.Array, jax.Array, jax.Array | None]
    ) -> tuple[jax.Array, jax.Array]:
        dy, h, runs = at
        dh = dh + dy
        dz = steps.choose(runs, into(h, dh), 0)
        return steps.choose(runs, dz @ transposed, dh), dz

    at = steps.time_first(dy), h, runs
    dh0, dz = lax.scan(step, dlast, at, reverse=not reverse)
    before = jnp.concatenate([h[1:], h0[None]] if reverse else [h0[None], h[:-1]])[: len(h)]
    # In the order of x, which is of the same size: XLA's CPU would copy dx twice.
    rows = steps.batch_first(dz)
    return (
        rows @ w_x.T,
        dh0,
        steps.weight(x, rows),
        steps.weight(before, dz),
        steps.summed(dz),
        None,
    )


rnn = Rule(rnn_fwd, rnn_bwd)
