"""Further activations, losses, normalisations and rules of images."""

from typing import Any

import jax.numpy as jnp

from autodiff import further
from compare.problems.rules.entry import (
    Draw,
    RuleProblem,
    Shape,
    Sizes,
    columns,
    entry,
    images,
    matrices,
    normal,
)  # fmt: skip
from manual import rules

__all__ = ["FURTHER"]

_BOTH = (0, 1)


def _same(shape: Shape) -> Shape:
    return shape


def _made(sizes: Sizes, make: Any) -> Sizes:
    """The sizes, with the second input made into what a loss asks for."""

    def changed(draw: Draw) -> Draw:
        def drawn(seed: int) -> tuple[Any, ...]:
            first, second = draw(seed)
            return make(first, second)

        return drawn

    return [(size, changed(draw)) for size, draw in sizes]


def _signs(outputs: Any, targets: Any) -> Any:
    return outputs, jnp.where(targets > 0, 1.0, -1.0)


def _between_zero_and_one(logits: Any, targets: Any) -> Any:
    # Not 0 or 1, where optax's log-space form has a kink in the targets.
    return logits, 1 / (1 + jnp.exp(-targets))


def _probabilities(logits: Any, targets: Any) -> Any:
    softmax = further.softmax
    return further.log_softmax(logits), softmax(targets)


def _sequences() -> Sizes:
    return [
        (f"{b}×{t}×{n}→{m}", normal((b, t, n), (3, n, m), (m,)))
        for b, t, n, m in ((8, 20, 6, 5), (32, 512, 64, 64))
    ]


def _enlarged() -> Sizes:
    return [
        ("×".join(map(str, x)) + f"→{m}", normal(x, (3, 3, x[3], m), (m,)))
        for x, m in (((4, 6, 5, 3), 4), ((32, 14, 14, 32), 16))
    ]


def _small_images() -> Sizes:
    return [("×".join(map(str, x)), normal(x)) for x in ((4, 6, 5, 3), (32, 28, 28, 16))]


_ELEMENTWISE = ("hard_swish", "log_sigmoid", "mish", "selu", "softsign", "swiglu")
_ALONG_AN_AXIS = ("log_softmax", "logsumexp", "softmax")

FURTHER: tuple[RuleProblem, ...] = (
    *(
        problem
        for name in (*_ELEMENTWISE, *_ALONG_AN_AXIS)
        for problem in entry(getattr(rules, name), getattr(further, name), matrices())
    ),
    *(
        problem
        for name in ("huber", "mean_absolute_error", "cosine_similarity")
        for problem in entry(
            getattr(rules, name), getattr(further, name), matrices(_same), examples=_BOTH
        )
    ),
    *entry(rules.hinge, further.hinge, _made(matrices(_same), _signs), examples=_BOTH),
    *entry(
        rules.kl_divergence,
        further.kl_divergence,
        _made(matrices(_same), _probabilities),
        examples=_BOTH,
    ),
    *entry(
        rules.sigmoid_focal,
        further.sigmoid_focal,
        _made(matrices(_same), _between_zero_and_one),
        examples=_BOTH,
        alpha=0.25,
    ),
    *entry(rules.instance_norm, further.instance_norm, images(columns, columns)),
    *entry(rules.weight_norm, further.weight_norm, matrices(columns), examples=()),
    *entry(
        rules.conv1d,
        further.conv1d,
        _sequences(),
    ),
    *entry(
        rules.conv_transpose,
        further.conv_transpose,
        _enlarged(),
        label="3×3 stride 2",
        sample=normal((32, 6, 5, 8), (3, 3, 8, 16), (16,)),
        stride=2,
    ),
    *entry(
        rules.resize,
        further.resize,
        _small_images(),
        label="bilinear",
        sample=normal((2, 28, 28, 3)),  # As many terms to a pixel.
        size=(9, 11),
    ),
    *entry(
        rules.resize,
        further.resize,
        _small_images(),
        label="nearest",
        sample=normal((2, 28, 28, 3)),
        size=8,
        method="nearest",
    ),
)
