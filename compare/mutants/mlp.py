"""A classifier with tanh layers, softmax and cross-entropy, and how its gradient goes wrong.

B batch, K classes. dname is the derivative of the loss with respect to name; z = a w + b.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

BATCH = 7
WEIGHTS = ("0/w", "1/w", "2/w")
BIASES = ("0/b", "1/b", "2/b")
HIDDEN = ("0/b", "0/w", "1/b", "1/w")
ALL = WEIGHTS + BIASES


def make(seed: int, sizes: tuple[int, ...] = (5, 6, 4, 3)) -> tuple[Any, ...]:
    """Draws layers of these sizes and a batch: (params, x, labels)."""
    rng = np.random.default_rng(seed)
    params = [
        {"w": normal(rng, n, m, scale=n**-0.5), "b": normal(rng, m, scale=0.5)}
        for n, m in itertools.pairwise(sizes)
    ]
    labels = jnp.asarray(rng.integers(sizes[-1], size=BATCH), jnp.int32)
    return params, normal(rng, BATCH, sizes[0]), labels


def make_square(seed: int) -> tuple[Any, ...]:
    """Draws hidden layers of equal width, so that a transpose fits: (params, x, labels)."""
    return make(seed, (5, 6, 6, 3))


def loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes the cross-entropy of a tanh network, the mean over the batch."""
    h = x
    for layer in params[:-1]:
        h = jnp.tanh(h @ layer["w"] + layer["b"])
    logits = h @ params[-1]["w"] + params[-1]["b"]
    log_p = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=1))


def one_hot(labels: jax.Array, classes: int) -> jax.Array:
    """Encodes labels (B,) as (B, K): 1 at the label, 0 elsewhere."""
    return (labels[:, None] == jnp.arange(classes)).astype(jnp.float32)


def softmax(z: jax.Array, axis: int = 1) -> jax.Array:
    """p = e^z / Σ e^z, by default row by row."""
    e = jnp.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def logits_bwd(z: jax.Array, labels: jax.Array) -> jax.Array:
    """dz = (p − y) / B."""
    return (softmax(z) - one_hot(labels, z.shape[1])) / len(z)


def tanh_bwd(da: jax.Array, a: jax.Array) -> jax.Array:
    """dz = da ⊙ (1 − a²)."""
    return da * (1 - a**2)


def input_bwd(dz: jax.Array, w: jax.Array) -> jax.Array:
    """da = dz wᵀ."""
    return dz @ w.T


def weight_bwd(a: jax.Array, dz: jax.Array) -> jax.Array:
    """dw = aᵀ dz."""
    return a.T @ dz


def bias_bwd(dz: jax.Array) -> jax.Array:
    """db = Σ_batch dz."""
    return dz.sum(axis=0)


def correct(
    params: Any,
    x: jax.Array,
    labels: jax.Array,
    *,
    logits_bwd: Any = logits_bwd,
    tanh_bwd: Any = tanh_bwd,
    input_bwd: Any = input_bwd,
    weight_bwd: Any = weight_bwd,
    bias_bwd: Any = bias_bwd,
) -> tuple[Any, Any]:
    """Goes forward, then back by BP1 to BP4 of Nielsen (2015, ch. 2)."""
    inputs = [x]
    for layer in params[:-1]:
        inputs.append(jnp.tanh(inputs[-1] @ layer["w"] + layer["b"]))
    z = inputs[-1] @ params[-1]["w"] + params[-1]["b"]
    value = -jnp.log(softmax(z)[jnp.arange(len(z)), labels]).mean()

    dz = logits_bwd(z, labels)
    grads = []
    for a, layer in zip(inputs[::-1], params[::-1], strict=True):
        grads.append({"w": weight_bwd(a, dz), "b": bias_bwd(dz)})
        dz = tanh_bwd(input_bwd(dz, layer["w"]), a)
    return value, grads[::-1]


CLASSIFIER = Original("mlp", loss, correct, make)


@CLASSIFIER.mutant("missing_batch_mean", *ALL)
def missing_batch_mean(*inputs: Any) -> tuple[Any, Any]:
    """The loss is a mean, the gradient that of the sum: everything is B times too large.

    As the formulas for a single example are usually written (Nielsen 2015, ch. 2), with the average
    left to the update.
    """
    return correct(*inputs, logits_bwd=lambda z, y: len(z) * logits_bwd(z, y))  # bug


@CLASSIFIER.mutant("extra_batch_mean", *ALL)
def batch_mean_taken_twice(*inputs: Any) -> tuple[Any, Any]:
    """dz carries 1/B already, and the weights and biases are divided by B once more."""
    return correct(
        *inputs,
        weight_bwd=lambda a, dz: a.T @ dz / len(a),  # bug
        bias_bwd=lambda dz: dz.sum(axis=0) / len(dz),  # bug
    )


@CLASSIFIER.mutant("sign_flipped", *ALL)
def target_minus_prediction(*inputs: Any) -> tuple[Any, Any]:
    """The error is written y − p: the gradient points downhill, and descent with it climbs."""

    def error(z: jax.Array, labels: jax.Array) -> jax.Array:
        return (one_hot(labels, z.shape[1]) - softmax(z)) / len(z)  # bug

    return correct(*inputs, logits_bwd=error)


@CLASSIFIER.mutant("bias_summed_over_features", *BIASES)
def bias_summed_over_everything(*inputs: Any) -> tuple[Any, Any]:
    """np.sum(dz) without an axis: one scalar, broadcast to every unit of the layer.

    The bug of the published sixty-line network: it trains nearly as well as without.
    """
    return correct(*inputs, bias_bwd=lambda dz: jnp.full(dz.shape[1], jnp.sum(dz)))  # bug


@CLASSIFIER.mutant("bias_averaged", *BIASES)
def bias_averaged(*inputs: Any) -> tuple[Any, Any]:
    """The bias takes the mean over the batch of a dz that is already divided by B."""
    return correct(*inputs, bias_bwd=lambda dz: dz.mean(axis=0))  # bug


@CLASSIFIER.mutant("missing_activation_derivative", *HIDDEN)
def missing_tanh_derivative(*inputs: Any) -> tuple[Any, Any]:
    """δ goes back through the weights only: the factor f′(z) of BP2 is left out everywhere."""
    return correct(*inputs, tanh_bwd=lambda da, a: da)  # bug


@CLASSIFIER.mutant("missing_activation_derivative", "0/w", "0/b")
def missing_tanh_derivative_in_first_layer(
    params: Any, x: jax.Array, labels: jax.Array
) -> tuple[Any, Any]:
    """A notebook's unrolled backward pass; one of two equal lines lost its factor (1 − a²)."""
    (w1, b1), (w2, b2), (w3, b3) = ((layer["w"], layer["b"]) for layer in params)
    a1 = jnp.tanh(x @ w1 + b1)
    a2 = jnp.tanh(a1 @ w2 + b2)
    p = softmax(a2 @ w3 + b3)
    rows = jnp.arange(len(x))
    value = -jnp.mean(jnp.log(p[rows, labels]))

    dz3 = p.at[rows, labels].add(-1) / len(x)
    dz2 = (dz3 @ w3.T) * (1 - a2**2)
    dz1 = dz2 @ w2.T  # bug
    return value, [
        {"w": x.T @ dz1, "b": dz1.sum(0)},
        {"w": a1.T @ dz2, "b": dz2.sum(0)},
        {"w": a2.T @ dz3, "b": dz3.sum(0)},
    ]


@CLASSIFIER.mutant("activation_derivative_at_output", *HIDDEN)
def tanh_derivative_at_output(*inputs: Any) -> tuple[Any, Any]:
    """A helper that computes 1 − tanh²(z) is handed a, which is tanh(z) already."""
    return correct(*inputs, tanh_bwd=lambda da, a: da * (1 - jnp.tanh(a) ** 2))  # bug


@CLASSIFIER.mutant("activation_derivative_twice", *HIDDEN)
def tanh_derivative_twice(*inputs: Any) -> tuple[Any, Any]:
    """One line multiplies by 1 − a² when δ leaves a layer, another when it enters the next."""
    return correct(*inputs, tanh_bwd=lambda da, a: tanh_bwd(tanh_bwd(da, a), a))  # bug


@CLASSIFIER.mutant("wrong_activation", *HIDDEN)
def sigmoid_derivative_for_tanh(*inputs: Any) -> tuple[Any, Any]:
    """The activation was changed from sigmoid to tanh, its derivative a (1 − a) was not.

    The textbook whose code is most often copied has sigmoid units (Nielsen 2015, ch. 1 and 2).
    """
    return correct(*inputs, tanh_bwd=lambda da, a: da * a * (1 - a))  # bug


@CLASSIFIER.mutant("softmax_wrong_axis", *ALL)
def softmax_over_the_batch(*inputs: Any) -> tuple[Any, Any]:
    """The backward pass normalises over axis 0: the examples share one unit of probability."""

    def error(z: jax.Array, labels: jax.Array) -> jax.Array:
        return (softmax(z, axis=0) - one_hot(labels, z.shape[1])) / len(z)  # bug

    return correct(*inputs, logits_bwd=error)


@CLASSIFIER.mutant("dropped_examples", *ALL)
def last_example_ignored(*inputs: Any) -> tuple[Any, Any]:
    """The loop over the examples ends at B − 1: the last one never contributes."""

    def error(z: jax.Array, labels: jax.Array) -> jax.Array:
        dz = jnp.zeros_like(z)
        for i in range(len(z) - 1):  # bug
            dz = dz.at[i].set(logits_bwd(z, labels)[i])
        return dz

    return correct(*inputs, logits_bwd=error)


@CLASSIFIER.mutant("constant_factor", "2/b")
def output_bias_off_by_a_thousandth(params: Any, *batch: Any) -> tuple[Any, Any]:
    """A gain of 1.001 is left in the output bias: no learning curve would ever show it."""
    value, grads = correct(params, *batch)
    return value, [*grads[:-1], {**grads[-1], "b": 1.001 * grads[-1]["b"]}]  # bug


@CLASSIFIER.mutant(None, "0/w")
def weight_off_by_a_billionth(params: Any, *batch: Any) -> tuple[Any, Any]:
    """A constant meant to avoid a division by zero ends up in one weight's gradient: 1e-9."""
    value, (first, *rest) = correct(params, *batch)
    return value, [{**first, "w": first["w"].at[1, 2].add(1e-9)}, *rest]  # bug


@CLASSIFIER.mutant("transposed", "0/w", "0/b", make=make_square)
def weight_not_transposed(*inputs: Any) -> tuple[Any, Any]:
    """δ goes back through w instead of wᵀ, where w is square and the shapes don't complain."""

    def through(dz: jax.Array, w: jax.Array) -> jax.Array:
        return dz @ w if w.shape[0] == w.shape[1] else dz @ w.T  # bug

    return correct(*inputs, input_bwd=through)


@CLASSIFIER.mutant("transposed", "1/w", make=make_square)
def weight_gradient_transposed(*inputs: Any) -> tuple[Any, Any]:
    """δ aᵀ, from a text with examples in columns, in a program with examples in rows."""

    def outer(a: jax.Array, dz: jax.Array) -> jax.Array:
        return dz.T @ a if a.shape == dz.shape else a.T @ dz  # bug

    return correct(*inputs, weight_bwd=outer)


ORIGINALS = (CLASSIFIER,)
