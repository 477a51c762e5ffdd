"""Activation functions: elementwise, any shape, any floating dtype.

With y = f(x), the chain rule gives dx = dy ⊙ f′(x); each `_bwd` derives f′. Where f′ is a function
of y, y is what the forward pass keeps: the next layer keeps it anyway. A NaN goes in and comes out,
forwards and backwards, and the largest finite x has a finite y and a finite dx.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from manual.rules._sigmoids import sigmoid_of, sigmoids
from manual.rules.rule import Rule, chosen

__all__ = [
    "ACTIVATIONS",
    "by_name",
    "elu",
    "elu_bwd",
    "elu_fwd",
    "gelu",
    "gelu_bwd",
    "gelu_erf",
    "gelu_erf_bwd",
    "gelu_erf_fwd",
    "gelu_fwd",
    "identity",
    "identity_bwd",
    "identity_fwd",
    "leaky_relu",
    "leaky_relu_bwd",
    "leaky_relu_fwd",
    "relu",
    "relu_bwd",
    "relu_fwd",
    "sigmoid",
    "sigmoid_bwd",
    "sigmoid_fwd",
    "silu",
    "silu_bwd",
    "silu_fwd",
    "softplus",
    "softplus_bwd",
    "softplus_fwd",
    "tanh",
    "tanh_bwd",
    "tanh_fwd",
]

Kept = tuple[jax.Array]
"""y where f′ is a function of y, else x."""


def identity_fwd(x: jax.Array) -> tuple[jax.Array, tuple[()]]:
    """y = x."""
    return x, ()


def identity_bwd(residuals: tuple[()], dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy."""
    () = residuals
    return (dy,)


identity = Rule(identity_fwd, identity_bwd)


def sigmoid_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = σ(x) = 1 / (1 + e⁻ˣ)."""
    y = lax.logistic(x)
    return y, (y,)


def sigmoid_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy ⊙ y (1 − y).

    σ′ = e⁻ˣ / (1 + e⁻ˣ)² = σ(x) · e⁻ˣ / (1 + e⁻ˣ) = σ (1 − σ)   (Nielsen 2015, ch. 1 and 2).
    """
    (y,) = residuals
    return (dy * (y * (1 - y)),)


sigmoid = Rule(sigmoid_fwd, sigmoid_bwd)


def tanh_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = tanh x."""
    y = jnp.tanh(x)
    return y, (y,)


def tanh_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy ⊙ (1 − y²).

    With y = sinh/cosh: y′ = (cosh² − sinh²) / cosh² = 1 − y². Written (1 − y)(1 + y), whose factors
    are exact near saturation, where the rounding of y² would be all that is left of 1 − y².
    """
    (y,) = residuals
    return (dy * ((1 - y) * (1 + y)),)


tanh = Rule(tanh_fwd, tanh_bwd)


def relu_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = max(x, 0)."""
    y = jnp.maximum(x, 0)
    return y, (y,)


def relu_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy where y > 0, else 0.

    Kink: relu′(0) = 0, as `jax.nn.relu` has it; every value in [0, 1] is a subgradient
    (Goodfellow et al. 2016, §6.3).
    """
    (y,) = residuals
    # Where y > 0 is false, y is 0, which is the derivative, or NaN, which must not turn into 0.
    return (jnp.where(y > 0, dy, y),)


relu = Rule(relu_fwd, relu_bwd)


def leaky_relu_fwd(x: jax.Array, *, negative_slope: float = 0.01) -> tuple[jax.Array, Kept]:
    """y = x where x ≥ 0, else a x, with a = negative_slope."""
    y = jnp.where(x >= 0, x, negative_slope * x)
    # y has the sign of x only if a > 0.
    return y, (y if negative_slope > 0 else x,)


def leaky_relu_bwd(
    residuals: Kept, dy: jax.Array, *, negative_slope: float = 0.01
) -> tuple[jax.Array]:
    """dx = dy where x ≥ 0, else a dy   (Maas et al. 2013).

    Kink: leaky_relu′(0) = 1, as `jax.nn.leaky_relu` has it.
    """
    (same_sign,) = residuals
    # What is neither ≥ 0 nor < 0 is NaN, and is passed on.
    below = jnp.where(same_sign < 0, negative_slope * dy, same_sign)
    return (jnp.where(same_sign >= 0, dy, below),)


leaky_relu = Rule(leaky_relu_fwd, leaky_relu_bwd)


def elu_fwd(x: jax.Array, *, alpha: float = 1.0) -> tuple[jax.Array, Kept]:
    """y = x where x > 0, else α (eˣ − 1).

    Raises:
        ValueError: if alpha is negative; y would no longer tell the sign of x.
    """
    if alpha < 0:
        raise ValueError(f"elu's alpha must not be negative, got {alpha}")
    y = jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0)))
    return y, (y,)


def elu_bwd(residuals: Kept, dy: jax.Array, *, alpha: float = 1.0) -> tuple[jax.Array]:
    """dx = dy where x > 0, else dy ⊙ (y + α).

    Below zero y′ = α eˣ = α (eˣ − 1) + α = y + α   (Clevert et al. 2015, eq. 15).

    Kink: elu′(0) = α, as `jax.nn.elu` has it; with α = 1 both sides meet and there is no kink.
    """
    (y,) = residuals
    return (jnp.where(y > 0, dy, dy * (y + alpha)),)


elu = Rule(elu_fwd, elu_bwd)


def softplus_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|), whose exponential cannot overflow."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))), (x,)


def softplus_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy ⊙ σ(x), because y′ = eˣ / (1 + eˣ)   (Goodfellow et al. 2016, §3.10).

    It is a function of the output too, 1 − e⁻ʸ, but one that takes longer.
    """
    (x,) = residuals
    return (dy * lax.logistic(x),)


softplus = Rule(softplus_fwd, softplus_bwd)


def silu_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = x σ(x)."""
    return x * sigmoid_of(x, x >= 0), (x,)


def silu_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy ⊙ σ(x) (1 + x σ(−x)).

    y′ = σ + x σ′ = σ + x σ (1 − σ) = σ (1 + x (1 − σ))   (Elfwing et al. 2017, eq. 5;
    Ramachandran et al. 2017). 1 − σ(x) = σ(−x), which does not cancel for large x.
    """
    (x,) = residuals
    gate, rest, _ = sigmoids(x, x >= 0)
    return (dy * (gate * (1 + x * rest)),)


silu = Rule(silu_fwd, silu_bwd)


def _gelu_gate(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """v = 2 √(2/π) (x + 0.044715 x³) and v′ = 2 √(2/π) (1 + 3 · 0.044715 x²)."""
    scale, cubic = 2 * math.sqrt(2 / math.pi), 0.044715
    square = x * x
    # Beyond ±24, |v| > 1000 and σ(v) is exactly 0 or 1 in every floating type up to float64: v may
    # overflow, and a bound on v′ changes nothing; without it the backward pass has ∞ · 0.
    slope = scale * (1 + 3 * cubic * jnp.minimum(square, 24**2))
    return x * (scale + scale * cubic * square), slope


def gelu_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = ½ x (1 + tanh u),  u = √(2/π) (x + 0.044715 x³)   (the default of `jax.nn.gelu`).

    Written y = x σ(v) with v = 2u, because ½ (1 + tanh u) = 1 / (1 + e⁻²ᵘ) = σ(2u): for negative x
    the sum 1 + tanh u would cancel.
    """
    v, _ = _gelu_gate(x)
    return x * sigmoid_of(v, x >= 0), (x,)


def gelu_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy ⊙ (σ(v) + σ(v) σ(−v) v′ x).

    From y = x σ(v(x)) by the product and the chain rule, with σ′(v) = σ(v) σ(−v), which is
    ¼ (1 − tanh² u)   (Hendrycks & Gimpel 2016, §2, for y).
    """
    (x,) = residuals
    v, dv_dx = _gelu_gate(x)
    gate, _, slope = sigmoids(v, x >= 0)
    # σ′(v) goes first: it is 0 long before v′ x can overflow.
    return (dy * (gate + slope * dv_dx * x),)


gelu = Rule(gelu_fwd, gelu_bwd)


def _normal_cdf(x: jax.Array) -> jax.Array:
    """Φ(x) = ½ erfc(−x/√2), which keeps its digits for negative x where ½ (1 + erf) cancels."""
    return 0.5 * lax.erfc(-math.sqrt(0.5) * x)


def _normal_density(x: jax.Array) -> jax.Array:
    """φ(x) = e^(−x²/2) / √(2π); with z = −x/√2 erfc(z) computes e^(−z²) too, and XLA only one."""
    scale = 1 / math.sqrt(2 * math.pi)
    if jnp.finfo(jnp.result_type(x)).bits < 32:
        return scale * jnp.exp(-0.5 * x * x)
    z = -math.sqrt(0.5) * x
    power = jnp.exp(-(z * z))
    # What the rounding of z leaves out of e^(−x²/2) is a factor near 1.
    return scale * power * (1 + jnp.where(power > 0, z * z - 0.5 * x * x, 0))


def gelu_erf_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = x Φ(x), Φ the distribution function of the standard normal."""
    return x * _normal_cdf(x), (x,)


def gelu_erf_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy ⊙ (Φ(x) + x φ(x)),  φ(x) = Φ′(x) = e^(−x²/2) / √(2π).

    The product rule on y = x Φ(x)   (Hendrycks & Gimpel 2016, §2).
    """
    (x,) = residuals
    return (dy * (_normal_cdf(x) + x * _normal_density(x)),)


gelu_erf = Rule(gelu_erf_fwd, gelu_erf_bwd)


ACTIVATIONS: dict[str, Rule[..., jax.Array]] = {
    rule.__name__: rule
    for rule in (
        elu,
        gelu,
        gelu_erf,
        identity,
        leaky_relu,
        relu,
        sigmoid,
        silu,
        softplus,
        tanh,
    )
}
"""By their names."""


def by_name(name: str | Rule[..., jax.Array]) -> Rule[..., jax.Array]:
    """Returns the activation called `name`; a rule of one's own is returned as it is.

    Raises:
        ValueError: if there is none of that name.
    """
    return chosen("activation", ACTIVATIONS, name)
