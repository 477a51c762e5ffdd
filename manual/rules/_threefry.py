"""The random mask of `jax.random.bernoulli`, bit for bit, drawn the way a CPU likes it.

JAX draws with the counter-based generator Threefry-2x32 (Salmon et al. 2011): entry i of an array
is a hash of the key and of i. On a CPU JAX runs its twenty rounds as a loop, which writes the whole
array to memory each time; written out they are one fused pass, in an eighth of the time.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["bernoulli"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_MANTISSA_BITS = 23
"""A uniform float32 of `jax.random` is a multiple of 2⁻²³ in [0, 1)."""


def bernoulli(key: jax.Array, probability: float, shape: Sequence[int]) -> jax.Array:
    """Draws the mask `jax.random.bernoulli(key, float32(probability), shape)`.

    The probability is a float32 whatever `jax_enable_x64` is, so a mask does not depend on it.

    Shapes: key () -> bool, of the given shape.
    """
    return _bernoulli(key, np.float32(probability).item(), tuple(shape))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _bernoulli(key: jax.Array, probability: float, shape: tuple[int, ...]) -> jax.Array:
    def by_jax(key: jax.Array) -> jax.Array:
        return jax.random.bernoulli(key, jnp.float32(probability), shape)

    def by_counter(key: jax.Array) -> jax.Array:
        # u < p of the uniform u = k 2⁻²³, in whole numbers.
        below = math.ceil(probability * 2**_MANTISSA_BITS)
        return (_hash(jax.random.key_data(key), shape) >> (32 - _MANTISSA_BITS)) < np.uint32(below)

    if _is_counted(key, shape):
        return lax.platform_dependent(key, cpu=by_counter, default=by_jax)
    return by_jax(key)


def _is_counted(key: jax.Array, shape: Sequence[int]) -> bool:
    """Whether JAX numbers the entries of this array by one 32-bit counter."""
    # JAX makes its options attributes at run time, where a type checker cannot see them.
    partitionable = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    is_threefry = str(jax.random.key_impl(key)) == "threefry2x32"
    return bool(partitionable) and is_threefry and math.prod(shape) < 2**32


def _hash(key: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Threefry-2x32 with 20 rounds of the counter (0, i), its two halves combined by xor."""
    first, second = key[0], key[1]
    subkeys = (first, second, first ^ second ^ np.uint32(_PARITY))
    counter = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    x, y = jnp.full(shape, subkeys[0]), counter + subkeys[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(distance)) | (y >> np.uint32(32 - distance))) ^ x
        x = x + subkeys[(group + 1) % 3]
        y = y + subkeys[(group + 2) % 3] + np.uint32(group + 1)
    return x ^ y
