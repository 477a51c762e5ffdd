"""Records a training: every number, by hand, by `jax.grad` and by the scalar engine."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.explain.toys import Network, Toy
from compare.json_ready import json_ready
from compare.problems import ENGINES, Pass, mlp, scalar_init, slopes

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
    further = _at_each(partial(_further, toy, network), (hand.z, params))
    return {
        "name": network.name,
        "sizes": network.sizes,
        "activation": network.activation,
        "rate": network.rate,
        "steps": steps,
        "loss": np.stack([made.loss for made in passes], axis=1),
        "loss_of_each": further["loss_of_each"],
        "probability": further["probability"],
        "norm": np.stack([np.linalg.norm(dz, axis=(1, 2)) for dz in hand.dz], axis=1),
        "apart": _apart(passes),
        "layers": [
            {
                **params[i],
                **{f"d{n}": _by_engine(passes, lambda m, n=n, i=i: m.grads[i][n]) for n in "wb"},
                **{
                    n: _by_engine(passes, lambda m, n=n, i=i: getattr(m, n)[i])
                    for n in ("z", "a", "da", "dz")
                },
                "slope": further["slopes"][i],
            }
            for i in range(len(params))
        ],
        "boundary": None
        if further["plane"] is None
        else {"axis": _PLANE, "probability": further["plane"]},
    }


def _at_each(compute: Callable[[Any], Any], moments: Any) -> Any:
    """Computes something at one moment after the other.

    All at once would be products with an axis of moments as well, which XLA may fail to compile.
    """
    return jax.device_get(jax.jit(lambda every: jax.lax.map(compute, every))(moments))


def _trained(toy: Toy, network: Network, seed: int, steps: np.ndarray) -> Any:
    """Trains by plain descent along the gradient by hand; parameters have a first axis of steps."""
    model = mlp(network.sizes, network.activation, toy.loss)
    key, batch = jax.random.key(seed), (jnp.asarray(toy.x), jnp.asarray(toy.targets))

    def step(params: Any, _: None) -> tuple[Any, Any]:
        _, grads = model.manual(params, (), batch, key)
        return jax.tree.map(lambda p, g: p - network.rate * g, params, grads), params

    first = [
        {name: np.array(leaf) for name, leaf in layer.items()}
        for layer in scalar_init(seed, network.sizes)
    ]
    train = jax.jit(lambda params: jax.lax.scan(step, params, None, length=network.steps + 1)[1])
    return jax.tree.map(lambda leaf: leaf[steps], jax.device_get(train(first)))


def _passes(engine: Any, params: Any, toy: Toy, network: Network) -> Pass:
    """Runs one engine at every moment; all that it computes has a first axis of moments."""
    of_one = partial(
        engine, batch=(toy.x, toy.targets), activation=network.activation, loss=toy.loss
    )
    if engine is not ENGINES["scalar engine"]:
        return _at_each(of_one, params)
    single = [of_one(jax.tree.map(lambda leaf, i=i: leaf[i], params)) for i in range(MOMENTS)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *single)


def _by_engine(passes: Sequence[Pass], choose: Callable[[Pass], Any]) -> np.ndarray:
    return np.stack([choose(made) for made in passes], axis=1)


def _further(toy: Toy, network: Network, moment: Any) -> dict[str, Any]:
    """Computes what the forward pass has beside its values, at one moment: (z of layers, params).

    Returns:
        `loss_of_each` (rows,), the loss of each row alone; `probability` (rows, outputs); `slopes`,
        f′(z) of hidden layers; and `plane`, the probability of class 1 over two inputs.
    """
    z, params = moment
    model = mlp(network.sizes, network.activation, toy.loss)
    chance = jax.nn.sigmoid if z[-1].shape[-1] == 1 else jax.nn.softmax
    plane = None
    if network.sizes[0] == 2:
        points = jnp.stack(jnp.meshgrid(_PLANE, _PLANE), axis=-1).reshape(-1, 2)
        logits = model.predict(params, (), points)
        plane = chance(logits).reshape(len(_PLANE), len(_PLANE))
    return {
        "loss_of_each": jax.vmap(lambda z, y: model.criterion(z[None], y[None]))(
            z[-1], jnp.asarray(toy.targets)
        ),
        "probability": chance(z[-1]),
        "slopes": [*(slopes(network.activation, each) for each in z[:-1]), None],
        "plane": plane,
    }


def _apart(passes: Sequence[Pass]) -> np.ndarray:
    """Finds the largest difference of any number between any two engines, by moment."""
    differences = jax.tree.leaves(
        [jax.tree.map(lambda a, b: np.abs(a - b), *two) for two in combinations(passes, 2)]
    )
    return np.max([d.reshape(MOMENTS, -1).max(axis=1) for d in differences], axis=0)
