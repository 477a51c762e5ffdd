"""Rotary positions (Su et al. 2021): pairs of a query's and a key's entries turned by the position.

B batch, T time, K size of a head; the pairs are the two halves of K. dname is the derivative of the
loss with respect to name. A rotation's gradient is turned back: by the same angle, the other way.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

K = 6
Arrays = tuple[jax.Array, jax.Array]


def make(seed: int) -> tuple[Any, ...]:
    """Draws two projections, 3 sequences of 5 steps and a factor for each score: (params, x, c)."""
    rng = np.random.default_rng(seed)
    params = {"wq": normal(rng, 4, K, scale=0.6), "wk": normal(rng, 4, K, scale=0.6)}
    return params, normal(rng, 3, 5, 4), normal(rng, 3, 5, 5)


def loss(params: Any, x: jax.Array, c: jax.Array) -> jax.Array:
    """Computes a weighted sum of the sigmoids of the scores between turned queries and keys."""
    angles = jnp.arange(5.0)[:, None] * 10.0 ** -jnp.arange(K // 2)
    cos, sin = jnp.cos(angles), jnp.sin(angles)

    def turned(z: jax.Array) -> jax.Array:
        one, two = jnp.split(z, 2, axis=-1)
        return jnp.concatenate([one * cos - two * sin, one * sin + two * cos], axis=-1)

    q, k = turned(x @ params["wq"]), turned(x @ params["wk"])
    return (jax.nn.sigmoid(q @ k.swapaxes(-1, -2)) * c).sum()


def angles_of(steps: jax.Array) -> Arrays:
    """Computes cos and sin of every position's angles, (T, K/2)."""
    angles = steps[:, None] * 10.0 ** -jnp.arange(K // 2)
    return jnp.cos(angles), jnp.sin(angles)


def rotated(z: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Turns the pairs (z1, z2) to (z1 cos − z2 sin, z1 sin + z2 cos)."""
    one, two = z[..., : K // 2], z[..., K // 2 :]
    return jnp.concatenate([one * cos - two * sin, one * sin + two * cos], axis=-1)


def rotated_bwd(d: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Turns back: (d1 cos + d2 sin, d2 cos − d1 sin)."""
    one, two = d[..., : K // 2], d[..., K // 2 :]
    return jnp.concatenate([one * cos + two * sin, two * cos - one * sin], axis=-1)


def projection_bwd(x: jax.Array, d: jax.Array) -> jax.Array:
    """dw = Σ over batch and time of xᵀ d."""
    return jnp.einsum("btc,btk->ck", x, d)


def correct(
    params: Any,
    x: jax.Array,
    c: jax.Array,
    *,
    query_bwd: Any = rotated_bwd,
    key_bwd: Any = rotated_bwd,
) -> tuple[Any, Any]:
    """Goes back through the sigmoid, the scores and both rotations."""
    cos, sin = angles_of(jnp.arange(5.0))
    q, k = rotated(x @ params["wq"], cos, sin), rotated(x @ params["wk"], cos, sin)
    s = 1 / (1 + jnp.exp(-(q @ k.swapaxes(-1, -2))))
    ds = c * s * (1 - s)
    dq, dk = query_bwd(ds @ k, cos, sin), key_bwd(ds.swapaxes(-1, -2) @ q, cos, sin)
    return (s * c).sum(), {"wq": projection_bwd(x, dq), "wk": projection_bwd(x, dk)}


ROTARY = Original("rotary", loss, correct, make)


@ROTARY.mutant("sign_flipped", "wq", "wk", aliases=("wrong_value",))
def turned_the_same_way_again(*inputs: Any) -> tuple[Any, Any]:
    """The gradient is turned as queries and keys were, not back: the sine has the wrong sign."""

    def again(d: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
        one, two = d[..., : K // 2], d[..., K // 2 :]
        return jnp.concatenate([one * cos - two * sin, one * sin + two * cos], axis=-1)  # bug

    return correct(*inputs, query_bwd=again, key_bwd=again)


@ROTARY.mutant("chain_step_missing", "wk")
def keys_not_turned_back(*inputs: Any) -> tuple[Any, Any]:
    """The queries' gradient is turned back, and the keys' goes to the projection as it is."""
    return correct(*inputs, key_bwd=lambda d, cos, sin: d)  # bug


@ROTARY.mutant(None, "wq", "wk", aliases=("wrong_places", "wrong_value"))
def neighbours_for_halves(*inputs: Any) -> tuple[Any, Any]:
    """The pairs are neighbours on the way back, as in the paper, and halves on the way there."""

    def neighbours(d: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
        one, two = d[..., ::2], d[..., 1::2]  # bug
        return jnp.concatenate([one * cos + two * sin, two * cos - one * sin], axis=-1)

    return correct(*inputs, query_bwd=neighbours, key_bwd=neighbours)


@ROTARY.mutant("wrong_value", "wq", "wk", aliases=("extra_term",))
def positions_from_one(*inputs: Any) -> tuple[Any, Any]:
    """The positions are counted from 0 on the way there and from 1 on the way back."""

    def later(d: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
        cos, sin = angles_of(jnp.arange(1.0, 6.0))  # bug
        return rotated_bwd(d, cos, sin)

    return correct(*inputs, query_bwd=later, key_bwd=later)


@ROTARY.mutant(None, "wq", "wk", aliases=("path_cut",))
def cosines_alone(*inputs: Any) -> tuple[Any, Any]:
    """Each entry gets its own gradient times cos; what it gave to its partner is forgotten."""

    def own(d: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
        return d * jnp.concatenate([cos, cos], axis=-1)  # bug

    return correct(*inputs, query_bwd=own, key_bwd=own)


@ROTARY.mutant(None, "wq", "wk", aliases=("wrong_value",))
def cosine_and_sine_swapped(*inputs: Any) -> tuple[Any, Any]:
    """The two are handed over in the other order."""

    def swapped(d: jax.Array, sin: jax.Array, cos: jax.Array) -> jax.Array:
        one, two = d[..., : K // 2], d[..., K // 2 :]
        return jnp.concatenate([one * cos + two * sin, two * cos - one * sin], axis=-1)  # bug

    return correct(*inputs, query_bwd=swapped, key_bwd=swapped)


ORIGINALS = (ROTARY,)
