"""Trains a network whose gradient is derived by hand, with optax.

Run it with: python examples/03_train_with_optax.py
"""

from typing import cast

import jax
import jax.numpy as jnp
import optax

from manual import mlp

Params = list[dict[str, jax.Array]]
State = tuple[Params, optax.OptState]

# 400 points in a square; the class is whether both coordinates have the same sign.
x = jax.random.uniform(jax.random.key(0), (400, 2), minval=-1, maxval=1)
labels = (x[:, 0] * x[:, 1] > 0).astype(jnp.int32)

params = mlp.init(jax.random.key(1), (2, 16, 2))
optimizer = optax.adam(1e-2)


def step(state: State, _: None) -> tuple[State, jax.Array]:
    """One step of Adam on all points."""
    params, opt_state = state
    # (loss, grads), as `jax.value_and_grad(mlp.loss)` would return them.
    loss, grads = mlp.loss_and_grad(params, (x, labels), activation="tanh")
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return (cast(Params, optax.apply_updates(params, updates)), opt_state), loss


@jax.jit
def train(params: Params) -> tuple[Params, jax.Array]:
    """All steps as one compiled program."""
    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), length=1000)
    return params, losses


params, losses = train(params)
predicted = mlp.predict(params, x, activation="tanh").argmax(axis=1)
print(f"loss {losses[0]:.3f} at the start, {losses[-1]:.3f} at the end")
print(f"{jnp.mean(predicted == labels):.1%} of the points are classified right")
