"""How the derivative travels through a deep network: how large it is, and where it never comes."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from compare.articles.descent import layers
from compare.training.steps import LossAndGrad

__all__ = ["dead_share", "delta_norms", "drawn", "per_example_deltas"]


def drawn(seed: int, sizes: Sequence[int], gain: float) -> list[dict[str, jax.Array]]:
    """Normal weights of variance gain / n_in and zero biases: gain 1 is Xavier's, 2 is He's."""
    rng = np.random.default_rng(seed)
    shapes = pairwise(sizes)
    return layers(*(rng.standard_normal(s) * np.sqrt(gain / s[0]) for s in shapes))


@partial(jax.jit, static_argnames="gradient")
def per_example_deltas(gradient: LossAndGrad, params: Any, batch: Any) -> list[jax.Array]:
    """δ = ∂L/∂z of every layer and example, (examples, units) each, L being the example's own loss.

    A bias is added to z, so the gradient by a bias on one example is δ itself.
    """

    def of_one(x: jax.Array, y: jax.Array) -> list[jax.Array]:
        _, grads = gradient(params, (), (x[None], y[None]), jax.random.key(0))
        return [layer["b"] for layer in grads]

    return jax.vmap(of_one)(*batch)


def delta_norms(gradient: LossAndGrad, params: Any, batch: Any) -> np.ndarray:
    """The mean over the examples of ‖δ‖, a number for each layer, the first layer's first."""
    deltas = per_example_deltas(gradient, params, batch)
    return np.array([np.linalg.norm(np.asarray(d), axis=1).mean() for d in deltas])


def dead_share(gradient: LossAndGrad, params: Any, batch: Any) -> float:
    """The share of hidden units that no example's derivative reaches: they can never learn."""
    deltas = per_example_deltas(gradient, params, batch)[:-1]
    return float(np.concatenate([(np.asarray(d) == 0).all(axis=0) for d in deltas]).mean())
