"""Squared errors: on a leaky-ReLU network, with and without weight decay, and on a softmax.

B batch, O outputs. dname is the derivative of the loss with respect to name.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

SLOPE = 0.1
DECAY = 0.03
ALL = ("w1", "b1", "w2", "b2")


def make(seed: int) -> tuple[Any, ...]:
    """Draws two layers and a batch of 7: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {
        "w1": normal(rng, 5, 4),
        "b1": normal(rng, 4),
        "w2": normal(rng, 4, 3),
        "b2": normal(rng, 3),
    }
    return params, normal(rng, 7, 5), normal(rng, 7, 3)


def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the mean of the squared errors over all entries."""
    h = jax.nn.leaky_relu(x @ params["w1"] + params["b1"], SLOPE)
    prediction = h @ params["w2"] + params["b2"]
    return jnp.mean((prediction - y) ** 2)


def penalised_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error and a penalty on the weights."""
    penalty = jnp.sum(params["w1"] ** 2) + jnp.sum(params["w2"] ** 2)
    return loss(params, x, y) + DECAY * penalty


def squared_error_bwd(prediction: jax.Array, y: jax.Array) -> jax.Array:
    """dprediction = 2 (prediction − y) / (B O)."""
    return 2 * (prediction - y) / y.size


def leaky_relu_bwd(dh: jax.Array, z: jax.Array) -> jax.Array:
    """dz = dh where z ≥ 0, else slope · dh."""
    return jnp.where(z >= 0, dh, SLOPE * dh)


def correct(
    params: Any,
    x: jax.Array,
    y: jax.Array,
    *,
    squared_error_bwd: Any = squared_error_bwd,
    leaky_relu_bwd: Any = leaky_relu_bwd,
) -> tuple[Any, Any]:
    """Goes forward and back through two layers, unrolled."""
    z = x @ params["w1"] + params["b1"]
    h = jnp.where(z >= 0, z, SLOPE * z)
    prediction = h @ params["w2"] + params["b2"]
    value = ((prediction - y) ** 2).mean()

    dprediction = squared_error_bwd(prediction, y)
    dz = leaky_relu_bwd(dprediction @ params["w2"].T, z)
    grads = {"w2": h.T @ dprediction, "b2": dprediction.sum(axis=0)}
    return value, grads | {"w1": x.T @ dz, "b1": dz.sum(axis=0)}


def decay_bwd(w: jax.Array) -> jax.Array:
    """dw = 2 λ w, the derivative of λ w²."""
    return 2 * DECAY * w


def penalised(
    params: Any, x: jax.Array, y: jax.Array, *, decay_bwd: Any = decay_bwd
) -> tuple[Any, Any]:
    """Adds the gradient of the penalty to the gradient of the error."""
    value, grads = correct(params, x, y)
    for name in ("w1", "w2"):
        value = value + DECAY * (params[name] ** 2).sum()
        grads[name] = grads[name] + decay_bwd(params[name])
    return value, grads


REGRESSION = Original("mlp", loss, correct, make)
PENALISED = Original("mlp", penalised_loss, penalised, make)


@REGRESSION.mutant("constant_factor", *ALL)
def two_of_the_square_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The gradient of ½ e², as the textbooks have it, for a loss without the ½."""
    return correct(
        *inputs,
        squared_error_bwd=lambda prediction, y: (prediction - y) / y.size,  # bug
    )


@REGRESSION.mutant("constant_factor", *ALL)
def divided_by_the_batch_and_not_by_all_entries(*inputs: Any) -> tuple[Any, Any]:
    """jnp.mean also averages over the O outputs; a gradient divided by B is O times too large."""
    return correct(
        *inputs,
        squared_error_bwd=lambda prediction, y: 2 * (prediction - y) / len(y),  # bug
    )


@REGRESSION.mutant("wrong_activation", "w1", "b1")
def relu_derivative_for_leaky_relu(*inputs: Any) -> tuple[Any, Any]:
    """The forward pass has a slope below 0, the backward pass still the 0 of a plain ReLU."""
    return correct(*inputs, leaky_relu_bwd=lambda dh, z: dh * (z > 0))  # bug


@PENALISED.mutant("missing_weight_decay", "w1", "w2")
def weight_decay_forgotten(params: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any]:
    """The penalty is in the loss and not in the gradient (both terms: Nielsen 2015, ch. 3).

    It is found late, because the loss goes down in spite of it.
    """
    value, _ = penalised(params, x, y)
    _, grads = correct(params, x, y)  # bug
    return value, grads


@PENALISED.mutant("constant_factor", "w1", "w2")
def weight_decay_without_its_two(*inputs: Any) -> tuple[Any, Any]:
    """λ w is the derivative of ½ λ w²; the penalty here is λ w² (cf. CS231n on the ½)."""
    return penalised(*inputs, decay_bwd=lambda w: DECAY * w)  # bug


def make_distribution(seed: int) -> tuple[Any, ...]:
    """Draws a linear classifier and one-hot targets: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {"w": normal(rng, 5, 4), "b": normal(rng, 4)}
    y = jax.nn.one_hot(jnp.asarray(rng.integers(4, size=7)), 4, dtype=jnp.float32)
    return params, normal(rng, 7, 5), y


def brier_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of a softmax's probabilities (Brier 1950)."""
    p = jax.nn.softmax(x @ params["w"] + params["b"], axis=-1)
    return jnp.mean(jnp.sum((p - y) ** 2, axis=-1))


def softmax_bwd(dp: jax.Array, p: jax.Array) -> jax.Array:
    """dz_j = p_j (dp_j − Σ_k p_k dp_k)."""
    return p * (dp - jnp.sum(p * dp, axis=1, keepdims=True))


def brier(
    params: Any, x: jax.Array, y: jax.Array, *, softmax_bwd: Any = softmax_bwd
) -> tuple[Any, Any]:
    """Goes back through the squared error, softmax's Jacobian and a dense layer."""
    z = x @ params["w"] + params["b"]
    e = jnp.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    dz = softmax_bwd(2 * (p - y) / len(x), p)
    return ((p - y) ** 2).sum() / len(x), {"w": x.T @ dz, "b": dz.sum(axis=0)}


BRIER = Original("mlp", brier_loss, brier, make_distribution)


@BRIER.mutant("diagonal_softmax_jacobian", "w", "b")
def softmax_as_if_elementwise(*inputs: Any) -> tuple[Any, Any]:
    """p (1 − p), the sigmoid's derivative, is only the diagonal of softmax's Jacobian.

    Every logit moves every probability: ∂p_j/∂z_k = p_j (1[j = k] − p_k).
    """
    return brier(*inputs, softmax_bwd=lambda dp, p: dp * p * (1 - p))  # bug


ORIGINALS = (REGRESSION, PENALISED, BRIER)
