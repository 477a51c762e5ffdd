"""Values that are used twice: a skip connection, a gate, a weight in two places.

B batch. dname is the derivative of the loss with respect to name. A value used twice has the sum
of two gradients: "gradients add up at forks" (CS231n, notes on backpropagation).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]


def make(seed: int) -> tuple[Any, ...]:
    """Draws a residual block between two layers: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {"embed": normal(rng, 5, 4, scale=0.7), "v": normal(rng, 4, 3, scale=0.7)}
    params |= {"w": normal(rng, 4, 4, scale=0.7), "b": normal(rng, 4)}
    return params, normal(rng, 7, 5), normal(rng, 7, 3)


def residual_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of h + tanh(h w + b) (He et al. 2016) between linear maps."""
    h = x @ params["embed"]
    out = h + jnp.tanh(h @ params["w"] + params["b"])
    return jnp.mean((out @ params["v"] - y) ** 2)


def both_ways(dskip: jax.Array, dbranch: jax.Array) -> jax.Array:
    """dh = dskip + dbranch: the gradient of a value is the sum over its uses."""
    return dskip + dbranch


def residual(params: Any, x: jax.Array, y: jax.Array, *, join: Any = both_ways) -> tuple[Any, Any]:
    """dh = d_out + (d_out ⊙ (1 − a²)) wᵀ."""
    h = x @ params["embed"]
    a = jnp.tanh(h @ params["w"] + params["b"])
    error = (h + a) @ params["v"] - y

    dprediction = 2 * error / error.size
    dout = dprediction @ params["v"].T
    dz = dout * (1 - a**2)
    dh = join(dout, dz @ params["w"].T)
    grads = {"embed": x.T @ dh, "w": h.T @ dz, "b": dz.sum(axis=0)}
    return (error**2).mean(), grads | {"v": (h + a).T @ dprediction}


RESIDUAL = Original("mlp", residual_loss, residual, make)


@RESIDUAL.mutant("path_cut", "embed", aliases=("overwritten_not_accumulated",))
def skip_connection_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The backward pass follows the block's branch and not the identity beside it."""
    return residual(*inputs, join=lambda dskip, dbranch: dbranch)  # bug


@RESIDUAL.mutant("overwritten_not_accumulated", "embed", aliases=("path_cut",))
def branch_overwritten_by_skip(*inputs: Any) -> tuple[Any, Any]:
    """dh = dbranch, and then dh = dskip where dh += dskip belongs: the branch is lost."""
    return residual(*inputs, join=lambda dskip, dbranch: dskip)  # bug


def make_gate(seed: int) -> tuple[Any, ...]:
    """Draws a gated linear unit and a read-out: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {"value": {"w": normal(rng, 5, 4), "b": normal(rng, 4)}}
    params["gate"] = {"w": normal(rng, 5, 4), "b": normal(rng, 4)}
    params["out"] = {"w": normal(rng, 4, 3), "b": normal(rng, 3)}
    return params, normal(rng, 7, 5), normal(rng, 7, 3)


def gated_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of the gated linear unit (x w + b) ⊙ σ(x v + c).

    Source: Dauphin et al. (2017).
    """
    value, gate, out = params["value"], params["gate"], params["out"]
    h = (x @ value["w"] + value["b"]) * jax.nn.sigmoid(x @ gate["w"] + gate["b"])
    return jnp.mean(jnp.square(h @ out["w"] + out["b"] - y))


def product_bwd(dh: jax.Array, u: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """du = dh ⊙ g, dg = dh ⊙ u, where h = u ⊙ g."""
    return dh * g, dh * u


def gated(
    params: Any, x: jax.Array, y: jax.Array, *, product_bwd: Any = product_bwd
) -> tuple[Any, Any]:
    """Goes back by the product rule, then by σ′ on the gate's side."""
    value, gate, out = params["value"], params["gate"], params["out"]
    u = x @ value["w"] + value["b"]
    g = 1 / (1 + jnp.exp(-(x @ gate["w"] + gate["b"])))
    error = (u * g) @ out["w"] + out["b"] - y

    dprediction = 2 * error / error.size
    du, dg = product_bwd(dprediction @ out["w"].T, u, g)
    dz = dg * g * (1 - g)
    return (error**2).mean(), {
        "value": {"w": x.T @ du, "b": du.sum(axis=0)},
        "gate": {"w": x.T @ dz, "b": dz.sum(axis=0)},
        "out": {"w": (u * g).T @ dprediction, "b": dprediction.sum(axis=0)},
    }


GATED = Original("mlp", gated_loss, gated, make_gate)


@GATED.mutant("missing_factor", "value/w", "value/b")
def gate_left_out_of_its_value(*inputs: Any) -> tuple[Any, Any]:
    """The gate is left out of the gradient of the value, as if it were always 1."""
    return gated(*inputs, product_bwd=lambda dh, u, g: (dh, dh * u))  # bug


@GATED.mutant("missing_factor", "gate/w", "gate/b")
def value_left_out_of_its_gate(*inputs: Any) -> tuple[Any, Any]:
    """The value is left out of the gradient of the gate."""
    return gated(*inputs, product_bwd=lambda dh, u, g: (dh * g, dh))  # bug


ORIGINALS = (RESIDUAL, GATED)
