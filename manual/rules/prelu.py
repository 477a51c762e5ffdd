"""The parametric rectifier (He et al. 2015): a slope for negative numbers, learned per channel.

α is `slope`; the channels are the last axis.
"""

import chex
import jax
import jax.numpy as jnp
from jax import lax

from manual.rules._requirements import require_last_axis
from manual.rules.rule import Rule

__all__ = ["prelu", "prelu_bwd", "prelu_fwd"]

Arrays = tuple[jax.Array, jax.Array]


def prelu_fwd(x: jax.Array, slope: jax.Array) -> tuple[jax.Array, Arrays]:
    """y = x where x ≥ 0, else α x.

    Shapes: x (..., c), slope (c,) of one dtype -> y like x.

    Raises:
        AssertionError: if the shapes are not these, or the dtypes differ.
        ValueError: if x is a scalar.
    """
    require_last_axis("prelu", "x", x)
    chex.assert_shape(slope, (x.shape[-1],))
    chex.assert_type(slope, x.dtype)
    return jnp.where(x >= 0, x, slope * x), (x, slope)


def prelu_bwd(residuals: Arrays, dy: jax.Array) -> Arrays:
    """dx = dy where x ≥ 0, else α dy;  dα = Σ dy x over the entries with x < 0   (He et al., §2.1).

    Kink: dx = dy at x = 0, as in `leaky_relu`; α has no part in y there, and gets 0. Whatever α is,
    the side is told by x, so α may be negative or 0. The sum is taken in float32 at least.
    """
    x, slope = residuals
    wide = jnp.promote_types(x.dtype, jnp.float32)
    # What is neither ≥ 0 nor < 0 is NaN, and is passed on.
    negative = jnp.where(x >= 0, 0, x)
    dslope = jnp.sum((dy * negative).reshape(-1, x.shape[-1]), axis=0, dtype=wide)
    # On a CPU the sum comes first, so that dx is written where `negative` was.
    negative, dslope = lax.platform_dependent(
        (negative, dslope), cpu=lax.optimization_barrier, default=lambda both: both
    )
    return jnp.where(negative == 0, dy, slope * dy), dslope.astype(slope.dtype)


prelu = Rule(prelu_fwd, prelu_bwd)
