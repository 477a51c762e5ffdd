"""Instance normalisation (Ulyanov et al. 2016): group-norm with a group for each channel."""

import jax

from manual.rules._requirements import require_epsilon, require_last_axis
from manual.rules.group_norm import group_norm_bwd, group_norm_fwd
from manual.rules.rule import Rule

__all__ = ["instance_norm", "instance_norm_bwd", "instance_norm_fwd"]

Kept = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""x, γ, μ and r."""


def instance_norm_fwd(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, epsilon: float = 1e-6
) -> tuple[jax.Array, Kept]:
    """y = γ x̂ + β,  x̂ = (x − μ) r,  r = 1/√(σ² + ε),  μ and σ² over the pixels of one channel.

    Shapes: x (b, ..., c), scale and bias (c,) of one dtype -> y like x.

    Raises:
        AssertionError: if the shapes are not these, or scale and bias differ in dtype.
        ValueError: if x is a scalar, or epsilon is negative.
    """
    require_last_axis("instance_norm", "x", x)
    require_epsilon("instance_norm", epsilon)
    return group_norm_fwd(x, scale, bias, groups=x.shape[-1], epsilon=epsilon)


def instance_norm_bwd(residuals: Kept, dy: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """dγ = Σ_bs dy x̂,  dβ = Σ_bs dy,  dx = r (g − ⟨g⟩ − x̂ ⟨g x̂⟩),  g = γ dy.

    ⟨·⟩ is the mean over the pixels of one example's channel: `group_norm_bwd` with k = 1.
    """
    return group_norm_bwd(residuals, dy, groups=residuals[0].shape[-1])


instance_norm = Rule(instance_norm_fwd, instance_norm_bwd)
