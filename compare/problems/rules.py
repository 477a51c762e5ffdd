"""What is compared with what, rule by rule: a hand-derived pair beside the idiom of jax.nn.

With `compare.problems.registry` the only files that import both `manual` and `autodiff`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from autodiff import functions, layers
from manual import rules

__all__ = ["RULES", "RuleProblem", "user_cnn_losses"]

Shape = tuple[int, ...]


class RuleProblem(NamedTuple):
    """One rule at one size.

    Attributes:
        rule: the name of the rule.
        name: the same, with its settings.
        size: of its inputs, in words.
        fwd: `fwd(*inputs) -> (out, residuals)`.
        bwd: `bwd(residuals, d_out) -> one cotangent per input`.
        reference: `reference(*inputs) -> out`, in the idiom of jax.nn and optax.
        draw: `draw(seed) -> inputs`, floating ones in float32.
    """

    rule: str
    name: str
    size: str
    fwd: Callable[..., Any]
    bwd: Callable[..., Any]
    reference: Callable[..., Any]
    draw: Callable[[int], tuple[Any, ...]]


def _normal(*shapes: Shape) -> Callable[[int], tuple[Any, ...]]:
    """Standard normal entries: an input for each shape."""

    def draw(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        return tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)

    return draw


def _named(
    name: str,
    sizes: Sequence[tuple[str, Callable[[int], tuple[Any, ...]]]],
    *,
    label: str = "",
    reference: Callable[..., Any] | None = None,
    **settings: Any,
) -> list[RuleProblem]:
    """The rule called `name` at several sizes."""
    fwd, bwd = (getattr(rules, f"{name}_{half}") for half in ("fwd", "bwd"))
    other = getattr(layers, name) if reference is None else reference
    return [
        RuleProblem(
            name,
            f"{name} {label}".strip(),
            size,
            partial(fwd, **settings) if settings else fwd,
            partial(bwd, **settings) if settings else bwd,
            partial(other, **settings) if settings else other,
            draw,
        )
        for size, draw in sizes
    ]


def _matrices(*extra: Callable[[Shape], Shape], rows: int = 1024) -> list[Any]:
    """Sizes for a rule of a matrix and of arrays whose shapes follow from its own."""
    shapes = ((64, 128), (rows, 512))
    return [(f"{n}×{c}", _normal((n, c), *(follow((n, c)) for follow in extra))) for n, c in shapes]


def _columns(shape: Shape) -> Shape:
    return shape[-1:]


_IMAGES = ((32, 14, 14, 32), (128, 28, 28, 16))


def _images(*extra: Callable[[Shape], Shape]) -> list[Any]:
    """Sizes for a rule of images."""
    return [
        ("×".join(map(str, shape)), _normal(shape, *(follow(shape) for follow in extra)))
        for shape in _IMAGES
    ]


def _positive_last(draw: Callable[[int], tuple[Any, ...]]) -> Callable[[int], tuple[Any, ...]]:
    def positive(seed: int) -> tuple[Any, ...]:
        *inputs, variance = draw(seed)
        return (*inputs, jnp.abs(variance) + 0.1)

    return positive


def _convolutions() -> list[Any]:
    """A first layer of few channels, a second one, and one as large as in ResNets."""
    shapes = [((32, 28, 28, 1), 16), ((32, 14, 14, 16), 32), ((8, 14, 14, 64), 64)]
    return [
        ("×".join(map(str, x)) + f"→{n}", _normal(x, (3, 3, x[-1], n), (n,))) for x, n in shapes
    ]


def _tokens(count: int, vocabulary: int, width: int) -> Callable[[int], tuple[Any, ...]]:
    def draw(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        table = jnp.asarray(rng.standard_normal((vocabulary, width)), jnp.float32)
        return table, jnp.asarray(rng.integers(0, vocabulary, count))

    return draw


def _with_targets(kind: str, n: int, classes: int) -> Callable[[int], tuple[Any, ...]]:
    """Logits and the targets that a loss asks for: `labels`, `probabilities` or `values`."""

    def draw(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        logits = jnp.asarray(rng.standard_normal((n, classes)), jnp.float32)
        if kind == "labels":
            return logits, jnp.asarray(rng.integers(0, classes, n))
        targets = rng.uniform(size=(n, classes))
        if kind == "probabilities":
            targets /= targets.sum(axis=1, keepdims=True)
        return logits, jnp.asarray(targets, jnp.float32)

    return draw


def _with_key(draw: Callable[[int], tuple[Any, ...]]) -> Callable[[int], tuple[Any, ...]]:
    return lambda seed: (jax.random.key(seed), *draw(seed))


_LOSS_TARGETS: Mapping[str, str] = {
    "mean_squared_error": "values",
    "sigmoid_binary_cross_entropy": "values",
    "softmax_cross_entropy": "probabilities",
    "softmax_cross_entropy_with_integer_labels": "labels",
}


def _all() -> list[RuleProblem]:
    dense = [
        (f"{n}×{a}→{b}", _normal((n, a), (a, b), (b,)))
        for n, a, b in ((32, 128, 64), (128, 784, 512))
    ]
    problems = [
        *_named("dense", dense),
        *_named(
            "batch_norm", [*_matrices(_columns, _columns, rows=4096), *_images(_columns, _columns)]
        ),
        *_named(
            "batch_norm_inference",
            [(size, _positive_last(draw)) for size, draw in _matrices(*[_columns] * 4)],
        ),
        *_named("layer_norm", _matrices(_columns, _columns, rows=4096)),
        *_named("rms_norm", _matrices(_columns, rows=4096)),
        *_named("group_norm", _images(_columns, _columns), label="8 groups", groups=8),
        *_named(
            "dropout",
            [(size, _with_key(draw)) for size, draw in _matrices()],
            label="0.3",
            rate=0.3,
        ),
        *_named("conv2d", _convolutions(), label="3×3"),
        *_named("max_pool", _images(), label="2×2"),
        *_named("max_pool", _images(), label="3×3 stride 2", window=(3, 3), stride=(2, 2)),
        *_named("avg_pool", _images(), label="2×2"),
        *_named("avg_pool", _images(), label="3×3 stride 2", window=(3, 3), stride=(2, 2)),
        *_named("global_average_pool", _images()),
        *_named(
            "embedding",
            [
                ("256 of 64×32", _tokens(256, 64, 32)),
                ("4096 of 8192×128", _tokens(4096, 8192, 128)),
            ],
        ),
        *_named("residual", _matrices(lambda shape: shape)),
        *_named("flatten", _images()),
    ]
    for name, reference in functions.ACTIVATIONS.items():
        problems += _named(name, _matrices(), reference=reference)
    for name, kind in _LOSS_TARGETS.items():
        sizes = [(f"{n}×{c}", _with_targets(kind, n, c)) for n, c in ((64, 10), (512, 1024))]
        problems += _named(name, sizes, reference=functions.LOSSES[name])
    return problems


RULES: tuple[RuleProblem, ...] = tuple(_all())
"""Every rule at several sizes, the smallest of each first."""


def user_cnn_losses() -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
    """`loss(params, batch)` of a CNN as a user writes it, with our max_pool and with that of JAX.

    Everything else is jax.nn and optax on both, and `jax.grad` differentiates both. The parameters
    are those of the `cnn` of `compare.problems.registry`.
    """

    def loss(max_pool: Callable[..., jax.Array], params: Any, batch: Any) -> jax.Array:
        x, labels = batch
        for layer in params[:-1]:
            x = max_pool(jax.nn.relu(layers.conv2d(x, layer["w"], layer["b"])))
        logits = layers.dense(layers.flatten(x), params[-1]["w"], params[-1]["b"])
        return functions.LOSSES["softmax_cross_entropy_with_integer_labels"](logits, labels)

    return partial(loss, rules.max_pool), partial(loss, layers.max_pool)
