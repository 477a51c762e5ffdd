"""Further activation functions: elementwise, any shape, any floating dtype.

With y = f(x), the chain rule gives dx = dy ⊙ f′(x); each `_bwd` derives f′. σ is the logistic
function. A NaN goes in and comes out, forwards and backwards.
"""

import jax
import jax.numpy as jnp
from jax import lax

from manual.rules._sigmoids import exp_of_minus_size
from manual.rules.rule import Rule

__all__ = [
    "hard_swish", "hard_swish_bwd", "hard_swish_fwd", "log_sigmoid", "log_sigmoid_bwd",
    "log_sigmoid_fwd", "mish", "mish_bwd", "mish_fwd", "selu", "selu_bwd", "selu_fwd", "softsign",
    "softsign_bwd", "softsign_fwd",
]  # fmt: skip

Kept = tuple[jax.Array]
"""y where f′ is a function of y, else x."""

_SCALE, _ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
"""λ and α of selu, the fixed point of mean 0 and variance 1 (Klambauer et al. 2017, §2)."""


def selu_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = λ x where x > 0, else λ α (eˣ − 1)."""
    y = _SCALE * jnp.where(x > 0, x, _ALPHA * jnp.expm1(jnp.minimum(x, 0)))
    return y, (y,)


def selu_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = λ dy where x > 0, else dy ⊙ (y + λ α)   (Klambauer et al. 2017, eq. 2).

    Below zero y′ = λ α eˣ = y + λ α. Kink: selu′(0) = λ α, as `jax.nn.selu` has it.
    """
    (y,) = residuals
    return (jnp.where(y > 0, _SCALE * dy, dy * (y + _SCALE * _ALPHA)),)


selu = Rule(selu_fwd, selu_bwd)


def _tanh_of_softplus(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """t = tanh(log(1 + eˣ)) and t′, from one exponential of −|x|, which cannot overflow.

    With s = 1 + eˣ, t = (s² − 1)/(s² + 1). softplus′ = σ = eˣ/s and tanh′ = 1 − t², which is
    4 s²/(s² + 1)², so t′ = 4 s eˣ/(s² + 1)². For positive x, t is times e^−2x above and below, and
    t′ times e^−4x.
    """
    positive = x >= 0
    e = exp_of_minus_size(x, positive)
    above = jnp.where(positive, 1 + 2 * e, e * (e + 2))
    below = jnp.where(positive, 1 + 2 * e * (1 + e), 2 + e * (e + 2))
    slope = 4 * (e * (1 + e)) * jnp.where(positive, e, 1)
    return above / below, slope / (below * below)


def mish_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = x tanh(softplus(x))   (Misra 2019)."""
    t, _ = _tanh_of_softplus(x)
    return x * t, (x,)


def mish_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy ⊙ (t + x t′),  t = tanh(softplus(x)),  t′ = (1 − t²) σ(x).

    The product rule on y = x t, and the chain rule on t, with softplus′ = σ.
    """
    (x,) = residuals
    t, slope = _tanh_of_softplus(x)
    return (dy * (t + slope * x),)


mish = Rule(mish_fwd, mish_bwd)


def hard_swish_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = x clip(x + 3, 0, 6)/6   (Howard et al. 2019, §5.2)."""
    return x * (jnp.clip(x + 3, 0, 6) * (1 / 6)), (x,)


def hard_swish_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = 0 where x ≤ −3, dy where x ≥ 3, else dy ⊙ (2 x + 3)/6.

    Between the two y = (x² + 3 x)/6. Kinks: hard_swish′(−3) = 0 and hard_swish′(3) = 1, the
    derivatives of the straight sides, where autodiff of `jax.nn.hard_swish` has the means −¼ and 1¼
    of both sides.
    """
    (x,) = residuals
    between = dy * ((2 * x + 3) * (1 / 6))
    # Of a NaN no comparison is true, and it is passed on.
    return (jnp.where(x <= -3, 0, jnp.where(x >= 3, dy, between)),)


hard_swish = Rule(hard_swish_fwd, hard_swish_bwd)


def log_sigmoid_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = log σ(x) = min(x, 0) − log(1 + e^−|x|), whose exponential cannot overflow."""
    return jnp.minimum(x, 0) - jnp.log1p(jnp.exp(-jnp.abs(x))), (x,)


def log_sigmoid_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy ⊙ σ(−x), because σ′/σ = 1 − σ(x) = σ(−x), which does not cancel for large x."""
    (x,) = residuals
    return (dy * lax.logistic(-x),)


log_sigmoid = Rule(log_sigmoid_fwd, log_sigmoid_bwd)


def softsign_fwd(x: jax.Array) -> tuple[jax.Array, Kept]:
    """y = x/(1 + |x|)."""
    return x / (1 + jnp.abs(x)), (x,)


def softsign_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array]:
    """dx = dy/(1 + |x|)²   (Bergstra et al. 2009).

    For x > 0 the quotient rule gives (1 + x − x)/(1 + x)²; y is odd, so y′ is even. No kink: both
    sides have the slope 1 at 0.
    """
    (x,) = residuals
    ratio = 1 / (1 + jnp.abs(x))
    return (dy * ratio * ratio,)


softsign = Rule(softsign_fwd, softsign_bwd)
