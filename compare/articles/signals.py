"""Measures the derivative by layer in a deep network: its size, and the units it does not reach."""

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
    """Draws normal weights of variance gain / n_in, and zero biases.

    A gain of 1 is Xavier's initialisation (Glorot & Bengio 2010), one of 2 is He's (2015).
    """
    rng = np.random.default_rng(seed)
    shapes = pairwise(sizes)
    return layers(*(rng.standard_normal(s) * np.sqrt(gain / s[0]) for s in shapes))


@partial(jax.jit, static_argnames="gradient")
def per_example_deltas(gradient: LossAndGrad, params: Any, batch: Any) -> list[jax.Array]:
    """Computes δ = ∂L/∂z of every layer, (examples, units) each, L the loss of a single example.

    A bias is added to z, so δ is the gradient by the bias on a batch of that example alone.
    """

    def of_one(x: jax.Array, y: jax.Array) -> list[jax.Array]:
        _, grads = gradient(params, (), (x[None], y[None]), jax.random.key(0))
        return [layer["b"] for layer in grads]

    return jax.vmap(of_one)(*batch)


def delta_norms(gradient: LossAndGrad, params: Any, batch: Any) -> np.ndarray:
    """Computes the mean of ‖δ‖ over the examples, for each layer from the first to the last."""
    deltas = per_example_deltas(gradient, params, batch)
    return np.array([np.linalg.norm(np.asarray(d), axis=1).mean() for d in deltas])


def dead_share(gradient: LossAndGrad, params: Any, batch: Any) -> float:
    """Computes the share of hidden units whose δ is 0 on every example: they do not learn."""
    deltas = per_example_deltas(gradient, params, batch)[:-1]
    return float(np.concatenate([(np.asarray(d) == 0).all(axis=0) for d in deltas]).mean())
