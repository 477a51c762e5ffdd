"""Batch-norm and layer-norm.

B batch, C channels. dname is the derivative of the loss with respect to name. x̂ = (z − μ) / s.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

EPS = 1e-5


def make_batch_norm(seed: int) -> tuple[Any, ...]:
    """Draws a layer, batch-norm and a read-out: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {"w": normal(rng, 5, 4), "gamma": 1 + normal(rng, 4, scale=0.5)}
    params |= {"beta": normal(rng, 4), "v": normal(rng, 4, 3)}
    return params, normal(rng, 7, 5) + 0.3, normal(rng, 7, 3)


def batch_norm_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error with batch-norm (Ioffe & Szegedy 2015), no bias before it."""
    z = x @ params["w"]
    mean = jnp.mean(z, axis=0)
    var = jnp.var(z, axis=0)
    h = jnp.tanh(params["gamma"] * (z - mean) / jnp.sqrt(var + EPS) + params["beta"])
    return jnp.mean((h @ params["v"] - y) ** 2)


def normalise_bwd(dxhat: jax.Array, xhat: jax.Array, std: jax.Array, axis: int) -> jax.Array:
    """dz = (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)) / s."""
    mean_term = dxhat.mean(axis=axis, keepdims=True)
    var_term = xhat * (dxhat * xhat).mean(axis=axis, keepdims=True)
    return (dxhat - mean_term - var_term) / std


def gamma_bwd(dy: jax.Array, xhat: jax.Array, z: jax.Array) -> jax.Array:
    """dγ = Σ dy ⊙ x̂."""
    del z
    return (dy * xhat).sum(axis=0)


def scale_bwd(dy: jax.Array, gamma: jax.Array) -> jax.Array:
    """dx̂ = dy ⊙ γ."""
    return dy * gamma


def batch_norm(
    params: Any,
    x: jax.Array,
    y: jax.Array,
    *,
    normalise_bwd: Any = normalise_bwd,
    gamma_bwd: Any = gamma_bwd,
    scale_bwd: Any = scale_bwd,
    beta_bwd: Any = lambda dy: dy.sum(axis=0),
) -> tuple[Any, Any]:
    """Goes from the read-out back through tanh, γ and β, and the normalisation."""
    z = x @ params["w"]
    std = jnp.sqrt(z.var(axis=0) + EPS)
    xhat = (z - z.mean(axis=0)) / std
    h = jnp.tanh(params["gamma"] * xhat + params["beta"])
    error = h @ params["v"] - y

    dprediction = 2 * error / error.size
    dy = (dprediction @ params["v"].T) * (1 - h**2)
    dz = normalise_bwd(scale_bwd(dy, params["gamma"]), xhat, std, 0)
    grads = {"w": x.T @ dz, "gamma": gamma_bwd(dy, xhat, z), "beta": beta_bwd(dy)}
    return (error**2).mean(), grads | {"v": h.T @ dprediction}


BATCH_NORM = Original("batch_norm", batch_norm_loss, batch_norm, make_batch_norm)


@BATCH_NORM.mutant("normalisation_terms_missing", "w")
def statistics_as_constants(*inputs: Any) -> tuple[Any, Any]:
    """μ and σ² are taken for constants, though both depend on every example of the batch.

    What happens then is the opening example of Ioffe & Szegedy (2015, §2).
    """
    return batch_norm(*inputs, normalise_bwd=lambda dxhat, xhat, std, axis: dxhat / std)  # bug


@BATCH_NORM.mutant("path_cut", "w", aliases=("normalisation_terms_missing",))
def mean_as_a_constant(*inputs: Any) -> tuple[Any, Any]:
    """The path through σ² is there, the one through μ is not."""

    def normalise(dxhat: jax.Array, xhat: jax.Array, std: jax.Array, axis: int) -> jax.Array:
        return (dxhat - xhat * (dxhat * xhat).mean(axis=axis)) / std  # bug

    return batch_norm(*inputs, normalise_bwd=normalise)


@BATCH_NORM.mutant("path_cut", "w", aliases=("normalisation_terms_missing",))
def variance_as_a_constant(*inputs: Any) -> tuple[Any, Any]:
    """The path through μ is there, the one through σ² is not."""

    def normalise(dxhat: jax.Array, xhat: jax.Array, std: jax.Array, axis: int) -> jax.Array:
        return (dxhat - dxhat.mean(axis=axis)) / std  # bug

    return batch_norm(*inputs, normalise_bwd=normalise)


@BATCH_NORM.mutant(None, "w", aliases=("constant_factor",))
def variance_divided_by_one_less(*inputs: Any) -> tuple[Any, Any]:
    """The variance's term has 1/(B − 1), the unbiased estimate's, and the forward pass 1/B."""

    def normalise(dxhat: jax.Array, xhat: jax.Array, std: jax.Array, axis: int) -> jax.Array:
        var_term = xhat * (dxhat * xhat).sum(axis=axis) / (len(xhat) - 1)  # bug
        return (dxhat - dxhat.mean(axis=axis) - var_term) / std

    return batch_norm(*inputs, normalise_bwd=normalise)


@BATCH_NORM.mutant(None, "w", aliases=("wrong_value",))
def epsilon_outside_the_root(*inputs: Any) -> tuple[Any, Any]:
    """The backward pass divides by √σ² + ε, the forward pass by √(σ² + ε)."""

    def normalise(dxhat: jax.Array, xhat: jax.Array, std: jax.Array, axis: int) -> jax.Array:
        return normalise_bwd(dxhat, xhat, jnp.sqrt(std**2 - EPS) + EPS, axis)  # bug

    return batch_norm(*inputs, normalise_bwd=normalise)


@BATCH_NORM.mutant("scale_omitted", "w", aliases=("missing_factor",))
def gamma_left_out(*inputs: Any) -> tuple[Any, Any]:
    """dx̂ = dy: γ is learnt, and does not scale what goes further back. Invisible while γ = 1."""
    return batch_norm(*inputs, scale_bwd=lambda dy, gamma: dy)  # bug


@BATCH_NORM.mutant("missing_factor", "gamma")
def gamma_gets_the_gradient_of_beta(*inputs: Any) -> tuple[Any, Any]:
    """dγ = Σ dy, copied from the line of β; the factor x̂ is missing."""
    return batch_norm(*inputs, gamma_bwd=lambda dy, xhat, z: dy.sum(axis=0))  # bug


@BATCH_NORM.mutant("wrong_value", "gamma")
def gamma_from_the_raw_input(*inputs: Any) -> tuple[Any, Any]:
    """dγ = Σ dy ⊙ z, with the input before it was normalised."""
    return batch_norm(*inputs, gamma_bwd=lambda dy, xhat, z: (dy * z).sum(axis=0))  # bug


@BATCH_NORM.mutant("bias_averaged", "beta")
def beta_averaged(*inputs: Any) -> tuple[Any, Any]:
    """dβ is the mean over the batch instead of the sum, in a layer that is full of means."""
    return batch_norm(*inputs, beta_bwd=lambda dy: dy.mean(axis=0))  # bug


def make_layer_norm(seed: int) -> tuple[Any, ...]:
    """Draws a layer, layer-norm and a read-out: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {"dense": {"w": normal(rng, 5, 6), "b": normal(rng, 6)}, "v": normal(rng, 6, 3)}
    params["norm"] = {"scale": 1 + normal(rng, 6, scale=0.5), "bias": normal(rng, 6)}
    return params, normal(rng, 7, 5), normal(rng, 7, 3)


def layer_norm_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error with layer-norm (Ba et al. 2016): over features, by example."""
    z = x @ params["dense"]["w"] + params["dense"]["b"]
    centred = z - jnp.mean(z, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    normalised = centred * jax.lax.rsqrt(variance + EPS)
    h = jax.nn.silu(normalised * params["norm"]["scale"] + params["norm"]["bias"])
    return jnp.mean((h @ params["v"] - y) ** 2)


def layer_norm(
    params: Any,
    x: jax.Array,
    y: jax.Array,
    *,
    normalise_bwd: Any = normalise_bwd,
    scale_bwd: Any = scale_bwd,
) -> tuple[Any, Any]:
    """Goes from the read-out back through silu, scale and bias, and the normalisation."""
    dense, norm = params["dense"], params["norm"]
    z = x @ dense["w"] + dense["b"]
    std = jnp.sqrt(z.var(axis=1, keepdims=True) + EPS)
    xhat = (z - z.mean(axis=1, keepdims=True)) / std
    u = xhat * norm["scale"] + norm["bias"]
    gate = 1 / (1 + jnp.exp(-u))
    error = (u * gate) @ params["v"] - y

    dprediction = 2 * error / error.size
    du = (dprediction @ params["v"].T) * gate * (1 + u * (1 - gate))
    dz = normalise_bwd(scale_bwd(du, norm["scale"]), xhat, std, 1)
    return (error**2).mean(), {
        "dense": {"w": x.T @ dz, "b": dz.sum(axis=0)},
        "norm": {"scale": (du * xhat).sum(axis=0), "bias": du.sum(axis=0)},
        "v": (u * gate).T @ dprediction,
    }


LAYER_NORM = Original("layer_norm", layer_norm_loss, layer_norm, make_layer_norm)


@LAYER_NORM.mutant("normalisation_terms_missing", "dense/w", "dense/b")
def row_statistics_as_constants(*inputs: Any) -> tuple[Any, Any]:
    """Each row is divided by its spread on the way back, and nothing is subtracted."""
    return layer_norm(*inputs, normalise_bwd=lambda dxhat, xhat, std, axis: dxhat / std)  # bug


@LAYER_NORM.mutant("path_cut", "dense/w", "dense/b", aliases=("normalisation_terms_missing",))
def row_variance_as_a_constant(*inputs: Any) -> tuple[Any, Any]:
    """dx̂ is centred and divided by s, as if s did not depend on the row."""

    def normalise(dxhat: jax.Array, xhat: jax.Array, std: jax.Array, axis: int) -> jax.Array:
        return (dxhat - dxhat.mean(axis=axis, keepdims=True)) / std  # bug

    return layer_norm(*inputs, normalise_bwd=normalise)


@LAYER_NORM.mutant("scale_omitted", "dense/w", "dense/b", aliases=("missing_factor",))
def scale_left_out(*inputs: Any) -> tuple[Any, Any]:
    """The learnt scale is left out of the backward pass, which is right only while it is 1."""
    return layer_norm(*inputs, scale_bwd=lambda dy, scale: dy)  # bug


@LAYER_NORM.mutant(None, "dense/w", "dense/b")
def terms_averaged_over_the_batch(*inputs: Any) -> tuple[Any, Any]:
    """The backward pass is batch-norm's: its two means run over the examples."""

    def normalise(dxhat: jax.Array, xhat: jax.Array, std: jax.Array, axis: int) -> jax.Array:
        return normalise_bwd(dxhat, xhat, std, 0)  # bug

    return layer_norm(*inputs, normalise_bwd=normalise)


ORIGINALS = (BATCH_NORM, LAYER_NORM)
