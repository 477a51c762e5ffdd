"""Dropout between two layers, scaled while training so that nothing changes at test time.

B batch. dname is the derivative of the loss with respect to name. See Srivastava et al. (2014); the
scaling by 1/keep in the forward pass is "inverted dropout" (CS231n, notes on regularisation).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

KEEP = 0.7
FIRST = ("0/w", "0/b")


def make(seed: int) -> tuple[Any, ...]:
    """Draws two layers, a batch of 7 and a key: (params, x, y, key)."""
    rng = np.random.default_rng(seed)
    params = [
        {"w": normal(rng, 5, 6, scale=0.6), "b": normal(rng, 6)},
        {"w": normal(rng, 6, 3, scale=0.6), "b": normal(rng, 3)},
    ]
    return params, normal(rng, 7, 5), normal(rng, 7, 3), jax.random.key(seed)


def loss(params: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
    """Computes the squared error with dropout; the mask selects."""
    h = jnp.tanh(x @ params[0]["w"] + params[0]["b"])
    keep = jax.random.bernoulli(key, KEEP, h.shape)
    h = jnp.where(keep, h / KEEP, 0)
    return jnp.mean((h @ params[1]["w"] + params[1]["b"] - y) ** 2)


def product_loss(params: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
    """Computes the squared error with dropout; the mask multiplies."""
    h = jnp.tanh(x @ params[0]["w"] + params[0]["b"])
    mask = jax.random.bernoulli(key, KEEP, h.shape).astype(h.dtype) / KEEP
    h = h * mask
    return jnp.mean((h @ params[1]["w"] + params[1]["b"] - y) ** 2)


def draw(key: jax.Array, h: jax.Array) -> jax.Array:
    """Draws a mask: 0 for each unit that is dropped, 1/keep for each that is kept."""
    return jax.random.bernoulli(key, KEEP, h.shape) / jnp.asarray(KEEP, h.dtype)


def dropout_bwd(ddropped: jax.Array, mask: jax.Array, key: jax.Array) -> jax.Array:
    """dh = ddropped ⊙ mask, the mask of the forward pass."""
    del key
    return ddropped * mask


def correct(
    params: Any,
    x: jax.Array,
    y: jax.Array,
    key: jax.Array,
    *,
    dropout_bwd: Any = dropout_bwd,
    input_of_second: Any = lambda dropped, h: dropped,
) -> tuple[Any, Any]:
    """Goes from the error back through a dense layer, the mask, the tanh and a dense layer."""
    first, second = params
    h = jnp.tanh(x @ first["w"] + first["b"])
    mask = draw(key, h)
    dropped = h * mask
    error = dropped @ second["w"] + second["b"] - y

    dout = 2 * error / error.size
    dh = dropout_bwd(dout @ second["w"].T, mask, key)
    dz = dh * (1 - h**2)
    return (error**2).mean(), [
        {"w": x.T @ dz, "b": dz.sum(axis=0)},
        {"w": input_of_second(dropped, h).T @ dout, "b": dout.sum(axis=0)},
    ]


DROPOUT = Original("dropout", loss, correct, make)
PRODUCT = Original("dropout", product_loss, correct, make)


@DROPOUT.mutant("mask_redrawn", *FIRST)
def mask_redrawn(*inputs: Any) -> tuple[Any, Any]:
    """The backward pass draws a mask of its own, from the next key."""

    def redraw(ddropped: jax.Array, mask: jax.Array, key: jax.Array) -> jax.Array:
        del mask
        key, subkey = jax.random.split(key)
        return ddropped * draw(subkey, ddropped)  # bug

    return correct(*inputs, dropout_bwd=redraw)


@DROPOUT.mutant("dropout_scale_missing", *FIRST)
def scale_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The mask is applied on the way back and 1/keep is not."""
    return correct(*inputs, dropout_bwd=lambda d, mask, key: jnp.where(mask > 0, d, 0))  # bug


@DROPOUT.mutant("constant_factor", *FIRST)
def scaled_twice(*inputs: Any) -> tuple[Any, Any]:
    """The stored mask carries 1/keep already, and is divided by keep again."""
    return correct(*inputs, dropout_bwd=lambda d, mask, key: d * mask / KEEP)  # bug


@DROPOUT.mutant(None, "1/w", aliases=("wrong_value",))
def second_layer_sees_no_dropout(*inputs: Any) -> tuple[Any, Any]:
    """dw of the next layer is taken from h as it was before units were dropped."""
    return correct(*inputs, input_of_second=lambda dropped, h: h)  # bug


@PRODUCT.mutant("missing_factor", *FIRST)
def mask_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """The gradient reaches the dropped units, too: the factor mask is left out."""
    return correct(*inputs, dropout_bwd=lambda d, mask, key: d)  # bug


@PRODUCT.mutant("dropout_scale_missing", *FIRST)
def mask_stored_as_booleans(*inputs: Any) -> tuple[Any, Any]:
    """The backward pass has stored which units were kept, and not their factor 1/keep."""
    return correct(*inputs, dropout_bwd=lambda d, mask, key: d * (mask != 0))  # bug


ORIGINALS = (DROPOUT, PRODUCT)
