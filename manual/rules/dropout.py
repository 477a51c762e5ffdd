"""Dropout (Srivastava et al. 2014), inverted: scaled in training, so inference needs nothing."""

import jax
import jax.numpy as jnp

from manual.rules._threefry import bernoulli
from manual.rules.rule import Rule

__all__ = ["dropout", "dropout_bwd", "dropout_fwd"]


def dropout_fwd(
    key: jax.Array, x: jax.Array, *, rate: float
) -> tuple[jax.Array, tuple[jax.Array | None]]:
    """y = x ⊙ m / (1 − p),  m ~ Bernoulli(1 − p) for each entry,  p = rate.

    E[m / (1 − p)] = 1, so y has the mean of x and a network without dropout is the mean of those
    with it. The mask is that of `jax.random.bernoulli(key, float32(1 - rate), x.shape)`, bit for
    bit.

    Shapes: key (), of `jax.random.key`, or (2,), of `jax.random.PRNGKey`; x any shape, floating
    -> y like x.

    Raises:
        ValueError: if rate is not in [0, 1), or key is not one key.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout's rate must be in [0, 1), got {rate}")
    mask = None if rate == 0 else bernoulli(_one_key(key), 1 - rate, x.shape)
    return _masked(x, mask, rate), (mask,)


def dropout_bwd(
    residuals: tuple[jax.Array | None], dy: jax.Array, *, rate: float
) -> tuple[None, jax.Array]:
    """dx = dy ⊙ m / (1 − p); the key has no cotangent.

    y is linear in x, with the diagonal matrix diag(m) / (1 − p), which is its own transpose. An
    entry that was dropped gets 0, whatever reaches it. The mask is kept, a byte an entry: drawing
    it again takes longer than reading it, and XLA may merge the two draws anyway.
    """
    (mask,) = residuals
    return None, _masked(dy, mask, rate)


dropout = Rule(dropout_fwd, dropout_bwd)


def _one_key(key: jax.Array) -> jax.Array:
    """The key as `jax.random.key` makes it."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if typed and key.shape == ():
        return key
    if key.dtype == jnp.uint32 and key.ndim == 1:
        return jax.random.wrap_key_data(key)
    raise ValueError(
        "dropout's key must be one key of jax.random.key or jax.random.PRNGKey, "
        f"got {key.dtype}{list(key.shape)}"
    )


def _masked(x: jax.Array, mask: jax.Array | None, rate: float) -> jax.Array:
    return x if mask is None else jnp.where(mask, x * (1 / (1 - rate)), 0)
