"""Writes a rule with `jax.custom_vjp`, checks it alone, and uses it inside a loss.

The rule is the length of a vector. Its derivative is v / |v|, which `jax.grad` computes as 0/0
where v is zero; the rule says 0 there.

Run it with: python examples/02_a_rule_of_your_own.py
"""

import jax
import jax.numpy as jnp

from compare import check_gradients, check_rule
from manual.rules import dense, gelu

Residuals = tuple[jax.Array, jax.Array]
Params = dict[str, jax.Array]


def length_fwd(v: jax.Array) -> tuple[jax.Array, Residuals]:
    """|v| over the last axis. Kept for the way back: v and |v|."""
    length = jnp.sqrt(jnp.sum(v**2, axis=-1))
    return length, (v, length)


def length_bwd(residuals: Residuals, dlength: jax.Array) -> tuple[jax.Array]:
    """Returns dv = dlength v / |v|, and 0 where v is 0: one cotangent for the one input."""
    v, length = residuals
    nonzero = jnp.where(length > 0, length, 1)
    return ((dlength / nonzero)[..., None] * v,)


@jax.custom_vjp
def length(v: jax.Array) -> jax.Array:
    """|v| over the last axis, differentiated by `length_bwd`."""
    return length_fwd(v)[0]


length.defvjp(length_fwd, length_bwd)

# The rule alone, under a random cotangent: without a reference, `length_fwd` is what JAX
# differentiates.
v = jax.random.normal(jax.random.key(0), (6, 3))
alone = check_rule(length_fwd, length_bwd, v)
print(f"the rule alone: {alone.verdict}")


def loss(params: Params, x: jax.Array) -> jax.Array:
    """A layer of hand-derived rules, and the rule of our own behind it."""
    return length(gelu(dense(x, params["w"], params["b"]))).mean()


def plain(params: Params, x: jax.Array) -> jax.Array:
    """The same without any rule of ours: what JAX makes of it."""
    hidden = jax.nn.gelu(x @ params["w"] + params["b"])
    return jnp.sqrt(jnp.sum(hidden**2, axis=-1)).mean()


# `jax.value_and_grad` of a loss is a candidate like any other.
params = {"w": jax.random.normal(jax.random.key(1), (3, 4)), "b": jnp.full(4, 0.1)}
inside = check_gradients(jax.value_and_grad(loss), plain, params, v)
print(f"inside a loss: {inside.verdict}")

# What the rule is for: at zero, JAX's derivative is not a number.
zero = jnp.zeros(3)
print("at zero, by the rule:", jax.grad(length)(zero))
print("at zero, by jax.grad:", jax.grad(lambda v: length_fwd(v)[0])(zero))
