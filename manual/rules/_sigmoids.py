"""The logistic function and its derivative, as the gates of the rules take them."""

import chex
import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["exp_of_minus_size", "sigmoid_of", "sigmoids"]


def sigmoid_of(x: jax.Array, positive: jax.Array) -> jax.Array:
    """σ(x), where `positive` is x ≥ 0: on a CPU the same array as `sigmoids` has."""
    if _is_narrow(x):
        return lax.logistic(x)
    return lax.platform_dependent(
        x,
        positive,
        cpu=lambda x, positive: _by_the_smaller(x, positive)[0],
        default=lambda x, _: lax.logistic(x),
    )


def sigmoids(x: jax.Array, positive: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """σ(x), σ(−x) and σ′(x) by one exponential, where `positive` is x ≥ 0; none of them cancels.

    A CPU computes the smaller of σ(x) and σ(−x), which both halves of a rule then share, and takes
    what is left of 1 for the larger; σ′ is their product, which needs no choice between them. Of
    σ(x) = 1 / (1 + e⁻ˣ) and σ(−x) = e⁻ˣ σ(x), XLA would write e⁻ˣ to memory too (measured, both
    halves of silu and of gelu: 1.25 of the time).
    """
    if _is_narrow(x):
        return _by_product(x, positive)
    on_cpu, elsewhere = _by_the_smaller, _by_product
    return lax.platform_dependent(x, positive, cpu=on_cpu, default=elsewhere)


def _is_narrow(x: jax.Array) -> bool:
    chex.assert_type(x, float)
    return jnp.finfo(jnp.result_type(x)).bits < 32


def _by_product(x: jax.Array, positive: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    power = exp_of_minus_size(x, positive)
    share = 1 / (1 + power)
    other = share * power
    return jnp.where(positive, share, other), jnp.where(positive, other, share), share * other


def _by_the_smaller(x: jax.Array, positive: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    # A choice between −x and x takes longer than |x|, whose derivative at 0 would be 0. The least
    # number puts 0 among the positive ones, and changes no other.
    smaller = lax.logistic(-jnp.abs(x + float(jnp.finfo(jnp.result_type(x)).tiny)))
    larger = 1 - smaller
    return (
        jnp.where(positive, larger, smaller),
        jnp.where(positive, smaller, larger),
        smaller * larger,
    )


def exp_of_minus_size(x: jax.Array, positive: jax.Array) -> jax.Array:
    """e^(−|x|), which never overflows, and at 0 has the derivative of e⁻ˣ."""
    return jnp.exp(jnp.where(positive, -x, x))
