"""What the recurrent rules share: the order of axes, steps of padding, sums over all steps.

Inside, time is the first axis, so that a step is one piece of memory. An example of length n has n
steps, and what follows is padding: a step of padding leaves the state as it is.
"""

import chex
import jax
import jax.numpy as jnp

__all__ = ["assert_shapes", "batch_first", "choose", "running", "summed", "time_first", "weight"]


def assert_shapes(
    x: jax.Array,
    states: tuple[jax.Array, ...],
    w_x: jax.Array,
    w_h: jax.Array,
    b: jax.Array,
    lengths: jax.Array | None,
    gates: int,
) -> None:
    """Refuses what does not fit together.

    Shapes: x (batch, time, n_in), states (batch, n), w_x (n_in, gates n), w_h (n, gates n),
    b (gates n,), lengths (batch,) of an integer dtype, or None.

    Raises:
        AssertionError: if shapes or dtypes are not these.
    """
    chex.assert_rank([x, *states], [3, *[2] * len(states)])
    batch, _, n_in = x.shape
    n = states[0].shape[1]
    chex.assert_shape(states, (batch, n))
    chex.assert_shape([w_x, w_h, b], [(n_in, gates * n), (n, gates * n), (gates * n,)])
    chex.assert_type([*states, w_x, w_h, b], x.dtype)
    if lengths is not None:
        chex.assert_shape(lengths, (batch,))
        chex.assert_type(lengths, int)


def time_first(x: jax.Array) -> jax.Array:
    """(batch, time, ...) as (time, batch, ...)."""
    return x.swapaxes(0, 1)


batch_first = time_first


def running(lengths: jax.Array | None, steps: int) -> jax.Array | None:
    """Which steps are no padding: (time, batch, 1), or None where all run."""
    if lengths is None:
        return None
    return (jnp.arange(steps)[:, None] < lengths[None, :])[:, :, None]


def choose(runs: jax.Array | None, new: jax.Array, old: jax.Array | int) -> jax.Array:
    """`new` where the step runs, `old` in padding."""
    return new if runs is None else jnp.where(runs, new, old)


def weight(inputs: jax.Array, dz: jax.Array) -> jax.Array:
    """Σ over steps and examples of inputsᵀ dz, as one matrix product.

    Shapes: inputs (time, batch, m), dz (time, batch, n), or both (batch, time, ...) -> (m, n).
    """
    rows = inputs.shape[0] * inputs.shape[1]
    return inputs.reshape(rows, inputs.shape[2]).T @ dz.reshape(rows, dz.shape[2])


def summed(dz: jax.Array) -> jax.Array:
    """Σ over steps and examples, in float32 at least: (time, batch, n) -> (n,)."""
    wide = jnp.promote_types(dz.dtype, jnp.float32)
    return jnp.sum(dz, axis=(0, 1), dtype=wide).astype(dz.dtype)
