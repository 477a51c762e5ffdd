"""Initializers of parameters, written out: `name(key, shape, dtype) -> Array`.

Shapes are (n_in, n_out) for a dense layer and (h, w, n_in, n_out) for a convolution, where each
output sums fan_in = h w n_in terms and each input feeds fan_out = h w n_out outputs. A sum of
fan_in independent terms has fan_in times the variance of one; the schemes divide by it:

    LeCun  Var w = 1 / fan_in                keeps the variance forwards (LeCun et al. 1998, §4.6)
    He     Var w = 2 / fan_in                the same, where relu drops half of it (He et al. 2015)
    Glorot Var w = 2 / (fan_in + fan_out)    a compromise of both passes (Glorot & Bengio 2010)

Each draws the same bits as the one of its name in `jax.nn.initializers`; the tests compare them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from manual.lookup import lookup

__all__ = [
    "INITIALIZERS",
    "by_name",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "small_normal",
    "zeros",
]

# The standard deviation of a standard normal that is cut off at ±2.
_TRUNCATED_STD = 0.87962566103423978


def zeros(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Returns zeros, for biases; the key is not used."""
    del key
    return jnp.zeros(shape, dtype)


def glorot_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Draws with Var w = 2 / (fan_in + fan_out), from a normal cut off at two standard deviations.

    Raises:
        ValueError: if the shape has fewer than two axes.
    """
    fan_in, fan_out = _fans(shape)
    return _truncated_normal(key, shape, dtype, 1 / ((fan_in + fan_out) / 2))


def glorot_uniform(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Draws with Var w = 2 / (fan_in + fan_out), from a uniform distribution.

    Raises:
        ValueError: if the shape has fewer than two axes.
    """
    fan_in, fan_out = _fans(shape)
    return _uniform(key, shape, dtype, 1 / ((fan_in + fan_out) / 2))


def lecun_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Draws with Var w = 1 / fan_in, from a normal cut off at two standard deviations.

    Raises:
        ValueError: if the shape has fewer than two axes.
    """
    fan_in, _ = _fans(shape)
    return _truncated_normal(key, shape, dtype, 1 / fan_in)


def he_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Draws with Var w = 2 / fan_in, from a normal cut off at two standard deviations.

    Raises:
        ValueError: if the shape has fewer than two axes.
    """
    fan_in, _ = _fans(shape)
    return _truncated_normal(key, shape, dtype, 2 / fan_in)


def he_uniform(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Draws with Var w = 2 / fan_in, from a uniform distribution.

    Raises:
        ValueError: if the shape has fewer than two axes.
    """
    fan_in, _ = _fans(shape)
    return _uniform(key, shape, dtype, 2 / fan_in)


def small_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Draws with a standard deviation of 0.01 whatever the shape, as was done before LeCun's."""
    return jax.random.normal(key, shape, dtype) * jnp.array(0.01, dtype)


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """fan_in and fan_out: the receptive field times the channels."""
    if len(shape) < 2:
        raise ValueError(
            f"weights need at least the two axes (n_in, n_out), got shape {tuple(shape)}"
        )
    *window, n_in, n_out = shape
    receptive_field = math.prod(window)
    return receptive_field * n_in, receptive_field * n_out


def _truncated_normal(
    key: jax.Array, shape: Sequence[int], dtype: Any, variance: float
) -> jax.Array:
    std = jnp.sqrt(jnp.array(variance, dtype)) / jnp.array(_TRUNCATED_STD, dtype)
    return jax.random.truncated_normal(key, -2, 2, shape, dtype) * std


def _uniform(key: jax.Array, shape: Sequence[int], dtype: Any, variance: float) -> jax.Array:
    # Uniform on (−l, l) has variance l²/3.
    limit = jnp.sqrt(3 * jnp.array(variance, dtype))
    return jax.random.uniform(key, shape, dtype, -1) * limit


INITIALIZERS: dict[str, Callable[..., jax.Array]] = {
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "lecun_normal": lecun_normal,
    "small_normal": small_normal,
    "zeros": zeros,
}


def by_name(name: str) -> Callable[..., jax.Array]:
    """Returns the initializer called `name`.

    Raises:
        ValueError: if there is none of that name.
    """
    return lookup("initializer", INITIALIZERS, name)
