"""A sigmoid network for two classes, and a softmax on raw pixels; both with the plain logarithm.

B batch. dname is the derivative of the loss with respect to name.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

HIDDEN = ("hidden/w", "hidden/b")
BIASES = ("hidden/b", "output/b")
ALL = ("hidden/w", "hidden/b", "output/w", "output/b")


def make(seed: int) -> tuple[Any, ...]:
    """Draws two layers and a batch of 7: (params, x, y)."""
    rng = np.random.default_rng(seed)
    params = {
        "hidden": {"w": normal(rng, 5, 4), "b": normal(rng, 4)},
        "output": {"w": normal(rng, 4, 1), "b": normal(rng, 1)},
    }
    return params, normal(rng, 7, 5), jnp.asarray(rng.integers(2, size=(7, 1)), jnp.float32)


def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the binary cross-entropy of a sigmoid unit on sigmoid units."""
    h = jax.nn.sigmoid(x @ params["hidden"]["w"] + params["hidden"]["b"])
    a = jax.nn.sigmoid(h @ params["output"]["w"] + params["output"]["b"])
    return -jnp.mean(y * jnp.log(a) + (1 - y) * jnp.log(1 - a))


def sigmoid(z: jax.Array) -> jax.Array:
    """σ(z) = 1 / (1 + e⁻ᶻ)."""
    return 1 / (1 + jnp.exp(-z))


def sigmoid_bwd(dh: jax.Array, h: jax.Array) -> jax.Array:
    """dz = dh ⊙ h (1 − h)."""
    return dh * h * (1 - h)


def error(a: jax.Array, y: jax.Array) -> jax.Array:
    """B dz = a − y: the sigmoid's derivative cancels against the logarithm's."""
    return a - y


def bias_bwd(dz: jax.Array) -> jax.Array:
    """db = 1/B Σ dz, with the mean taken here and not in dz."""
    return dz.sum(axis=0) / len(dz)


def correct(
    params: Any,
    x: jax.Array,
    y: jax.Array,
    *,
    error: Any = error,
    sigmoid_bwd: Any = sigmoid_bwd,
    bias_bwd: Any = bias_bwd,
) -> tuple[Any, Any]:
    """Goes back as the courses do: dz for each example, dw = aᵀ dz / B."""
    m = len(x)
    hidden, output = params["hidden"], params["output"]
    h = sigmoid(x @ hidden["w"] + hidden["b"])
    a = sigmoid(h @ output["w"] + output["b"])
    value = -(y * jnp.log(a) + (1 - y) * jnp.log(1 - a)).mean()

    dz2 = error(a, y)
    dz1 = sigmoid_bwd(dz2 @ output["w"].T, h)
    return value, {
        "hidden": {"w": x.T @ dz1 / m, "b": bias_bwd(dz1)},
        "output": {"w": h.T @ dz2 / m, "b": bias_bwd(dz2)},
    }


BINARY = Original("mlp", loss, correct, make)


@BINARY.mutant("activation_derivative_twice", *ALL)
def sigmoid_derivative_after_it_cancelled(*inputs: Any) -> tuple[Any, Any]:
    """a − y already contains σ′, and is multiplied by a (1 − a) as under a squared error.

    That the two cancel is what cross-entropy is for (Nielsen 2015, ch. 3).
    """
    return correct(*inputs, error=lambda a, y: (a - y) * a * (1 - a))  # bug


@BINARY.mutant("activation_derivative_at_output", *HIDDEN)
def sigmoid_derivative_at_output(*inputs: Any) -> tuple[Any, Any]:
    """σ′ is a function of z here, σ(z)(1 − σ(z)), and is called with the activation h."""

    def sigmoid_prime(z: jax.Array) -> jax.Array:
        return sigmoid(z) * (1 - sigmoid(z))  # bug

    return correct(*inputs, sigmoid_bwd=lambda dh, h: dh * sigmoid_prime(h))  # bug


@BINARY.mutant("missing_batch_mean", *BIASES)
def bias_without_batch_mean(*inputs: Any) -> tuple[Any, Any]:
    """The weights get their 1/B, and the biases are forgotten."""
    return correct(*inputs, bias_bwd=lambda dz: dz.sum(axis=0))  # bug


@BINARY.mutant("dropped_examples", *ALL)
def incomplete_minibatch_dropped(params: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any]:
    """Gradients are accumulated over minibatches of 4: B // 4 of them, so 3 rows of 7 are lost."""
    size, m = 4, len(x)
    value, _ = correct(params, x, y)
    grads = jax.tree.map(jnp.zeros_like, params)
    for i in range(m // size):  # bug
        rows = slice(i * size, (i + 1) * size)
        _, part = correct(params, x[rows], y[rows])
        grads = jax.tree.map(lambda total, g: total + g * size / m, grads, part)
    return value, grads


@BINARY.mutant("sign_flipped", *HIDDEN)
def sign_flipped_below_the_output(params: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any]:
    """The error is kept as y − a, and only the output layer's update makes up for the sign."""
    value, grads = correct(params, x, y)
    _, flipped = correct(params, x, y, error=lambda a, y: y - a)  # bug
    return value, {"hidden": flipped["hidden"], "output": grads["output"]}


@BINARY.mutant(None, "output/b", verdict="structure_mismatch")
def output_bias_missing(*inputs: Any) -> tuple[Any, Any]:
    """The dictionary of gradients has no entry for the output's bias."""
    value, grads = correct(*inputs)
    return value, {**grads, "output": {"w": grads["output"]["w"]}}


@BINARY.mutant(None, *BIASES, verdict="structure_mismatch")
def bias_keeps_its_batch_axis(*inputs: Any) -> tuple[Any, Any]:
    """keepdims=True leaves db with shape (1, n): it broadcasts, so the update goes through."""
    return correct(*inputs, bias_bwd=lambda dz: dz.sum(axis=0, keepdims=True) / len(dz))  # bug


def make_pixels(seed: int) -> tuple[Any, ...]:
    """Draws pixels from 0 to 255, and weights too large for them: (params, x, labels)."""
    rng = np.random.default_rng(seed)
    params = {"w": normal(rng, 50, 3, scale=3), "b": normal(rng, 3)}
    x = jnp.asarray(rng.integers(256, size=(7, 50)), jnp.float32)
    return params, x, jnp.asarray(rng.integers(3, size=7), jnp.int32)


def log_of_softmax_loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes −log p, with p a softmax that can underflow to 0."""
    p = jax.nn.softmax(x @ params["w"] + params["b"])
    return -jnp.mean(jnp.log(p[jnp.arange(len(x)), labels]))


def log_of_softmax(params: Any, x: jax.Array, labels: jax.Array) -> tuple[Any, Any]:
    """Goes back one step at a time: −1/p, then softmax's Jacobian. This is right while p > 0."""
    z = x @ params["w"] + params["b"]
    e = jnp.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    picked = p[jnp.arange(len(x)), labels]

    dp = jnp.zeros_like(p).at[jnp.arange(len(x)), labels].set(-1 / picked / len(x))
    dz = p * (dp - (p * dp).sum(axis=1, keepdims=True))
    return -jnp.log(picked).mean(), {"w": x.T @ dz, "b": dz.sum(axis=0)}


def make_scaled_pixels(seed: int) -> tuple[Any, ...]:
    """Draws the inputs of `make_pixels`, scaled so that no probability underflows."""
    params, x, labels = make_pixels(seed)
    return {"w": params["w"] / 9, "b": params["b"]}, x / 255, labels


SCALED = Original("mlp", log_of_softmax_loss, log_of_softmax, make_scaled_pixels)


@SCALED.mutant(None, "w", "b", verdict="nonfinite", make=make_pixels)
def log_of_zero_on_both_sides(*inputs: Any) -> tuple[Any, Any]:
    """Pixels are not divided by 255, p underflows, and both sides have 0 · ∞ = NaN.

    Two NaNs are no agreement, though `numpy.testing` and chex count them as equal.
    """
    return log_of_softmax(*inputs)


ORIGINALS = (BINARY, SCALED)
