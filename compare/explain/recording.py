"""Records a training: every number of 60 moments, by hand, by `jax.grad` and by the scalar engine."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.explain.toys import Network, Toy
from compare.json_ready import json_ready
from compare.problems import ENGINES, Pass, mlp, slopes

__all__ = ["MOMENTS", "record"]

MOMENTS = 60
"""Moments of a training that are recorded, the first before its first step."""

_PLANE = np.linspace(-0.5, 1.5, 25)
"""Where the decision boundary of a network with two inputs is looked at, along either input."""


def record(toy: Toy, seed: int = 0) -> dict[str, Any]:
    """Trains the networks of a toy by hand, and records every number, in float64.

    Args:
        toy: the rows and the networks.
        seed: of the first parameters.

    Returns:
        In JSON's types: what the toy is, and `recordings`, one for each network. In `layers` there
        is for each layer, with m moments, e engines, r rows and u units: w (m, inputs, u), b (m,
        u), their derivatives dw (m, e, inputs, u) and db (m, e, u), and z, a, da, dz (m, e, r, u).
        `slope` (m, r, u) is f′(z) of hidden layers.
    """
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        recordings = [_recorded(toy, network, seed) for network in toy.networks]
    return json_ready(
        {
            "problem": toy.name,
            "dataset": toy.dataset,
            "seed": seed,
            "engines": list(ENGINES),
            "x": toy.x,
            "targets": toy.targets,
            "examples": toy.examples,
            "outputs": toy.outputs,
            "loss": toy.loss,
            "picture": toy.picture,
            "recordings": recordings,
        }
    )


def _recorded(toy: Toy, network: Network, seed: int) -> dict[str, Any]:
    steps = np.linspace(0, network.steps, MOMENTS).round().astype(int)
    params = _trained(toy, network, seed, steps)
    passes = [_passes(engine, params, toy, network) for engine in ENGINES.values()]
    hand = passes[0]
    logits = jnp.asarray(hand.z[-1])
    return {
        "name": network.name,
        "sizes": network.sizes,
        "activation": network.activation,
        "rate": network.rate,
        "steps": steps,
        "loss": np.stack([made.loss for made in passes], axis=1),
        "loss_of_each": _loss_of_each(toy, network, logits),
        "probability": _probability(logits),
        "norm": np.stack([_norm(layer["w"]) for layer in hand.grads], axis=1),
        "apart": _apart(passes),
        "layers": [_layer(i, params, passes, network) for i in range(len(params))],
        "boundary": _boundary(params, network) if len(toy.x[0]) == 2 else None,
    }


def _trained(toy: Toy, network: Network, seed: int, steps: np.ndarray) -> Any:
    """Trains by plain descent along the gradient by hand; parameters have a first axis of steps."""
    model = mlp(network.sizes, network.activation, toy.loss)
    key = jax.random.key(seed)
    first, state = model.init(key)
    first = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), first)
    batch = jnp.asarray(toy.x), jnp.asarray(toy.targets)

    def step(params: Any, _: None) -> tuple[Any, Any]:
        _, grads = model.manual(params, state, batch, key)
        return jax.tree.map(lambda p, g: p - network.rate * g, params, grads), params

    _, every = jax.jit(lambda p: jax.lax.scan(step, p, None, length=network.steps + 1))(first)
    return jax.tree.map(lambda leaf: leaf[steps], every)


def _passes(engine: Any, params: Any, toy: Toy, network: Network) -> Pass:
    """Runs one engine at every moment; all that it computes has a first axis of moments."""
    of_one = partial(
        engine,
        batch=(jnp.asarray(toy.x), jnp.asarray(toy.targets)),
        activation=network.activation,
        loss=toy.loss,
    )
    if engine is ENGINES["scalar engine"]:
        single = [of_one(jax.tree.map(lambda leaf, i=i: leaf[i], params)) for i in range(MOMENTS)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *single)
    return jax.device_get(jax.jit(jax.vmap(of_one))(params))


def _layer(i: int, params: Any, passes: Sequence[Pass], network: Network) -> dict[str, Any]:
    def by_engine(choose: Any) -> np.ndarray:
        return np.stack([choose(made) for made in passes], axis=1)

    hidden = i < len(params) - 1
    z = jnp.asarray(passes[0].z[i])
    return {
        **params[i],
        **{f"d{n}": by_engine(lambda made, n=n: made.grads[i][n]) for n in ("w", "b")},
        **{n: by_engine(lambda made, n=n: getattr(made, n)[i]) for n in ("z", "a", "da", "dz")},
        "slope": slopes(network.activation, z) if hidden else None,
    }


def _loss_of_each(toy: Toy, network: Network, logits: jax.Array) -> jax.Array:
    """Computes the loss of each row alone: logits (moments, rows, outputs) -> (moments, rows)."""
    criterion = mlp(network.sizes, network.activation, toy.loss).criterion
    of_rows = jax.vmap(lambda z, y: criterion(z[None], y[None]))
    return jax.vmap(of_rows, (0, None))(logits, jnp.asarray(toy.targets))


def _probability(logits: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(logits) if logits.shape[-1] == 1 else jax.nn.softmax(logits)


def _norm(gradient: np.ndarray) -> np.ndarray:
    """Computes the norm of a layer's gradient at every moment."""
    return np.linalg.norm(gradient.reshape(len(gradient), -1), axis=1)


def _apart(passes: Sequence[Pass]) -> np.ndarray:
    """Finds the largest difference of any number of an engine from that by hand, by moment."""
    hand, *others = passes
    differences = jax.tree.leaves(
        [jax.tree.map(lambda a, b: np.abs(a - b), hand, other) for other in others]
    )
    return np.max([d.reshape(MOMENTS, -1).max(axis=1) for d in differences], axis=0)


def _boundary(params: Any, network: Network) -> dict[str, Any]:
    """Computes the probability of class 1 over the plane of two inputs, at every moment."""
    model = mlp(network.sizes, network.activation, "sigmoid_binary_cross_entropy")
    plane = jnp.stack(jnp.meshgrid(_PLANE, _PLANE), axis=-1).reshape(-1, 2)
    logits = jax.jit(jax.vmap(lambda p: model.predict(p, (), plane)))(params)
    return {
        "axis": _PLANE,
        "probability": jax.nn.sigmoid(logits).reshape(MOMENTS, len(_PLANE), len(_PLANE)),
    }
