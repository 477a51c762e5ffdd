"""Rules at sizes that fill an accelerator, drawn there, each with a smaller one of its kind."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from autodiff import functions, layers, sequences
from compare.problems.rules.entry import Draw, RuleProblem, Shape
from manual import rules

__all__ = ["LARGE"]

_CLASSES = "softmax_cross_entropy_with_integer_labels"
_WIDTHS = (jnp.float32, jnp.bfloat16)


def _drawn(shapes: Sequence[Shape], dtype: Any, scales: Sequence[float] | None = None) -> Draw:
    """Draws normal inputs on the device, of standard deviation 1 or of these."""

    def draw(seed: int) -> tuple[Any, ...]:
        keys = jax.random.split(jax.random.key(seed), len(shapes))
        drawn = (jax.random.normal(*of, dtype) for of in zip(keys, shapes, strict=True))
        return tuple(
            x * jnp.asarray(s, dtype) for x, s in zip(drawn, scales or _ONES, strict=False)
        )

    return draw


_ONES = (1.0,) * 16


def _with_integers(draw: Draw, count: int, below: int) -> Draw:
    """Draws `count` further integers, in [0, below)."""

    def drawn(seed: int) -> tuple[Any, ...]:
        integers = jax.random.randint(jax.random.key(seed + 1), (count,), 0, below)
        return (*draw(seed), integers)

    return drawn


def _with_key(draw: Draw) -> Draw:
    return lambda seed: (jax.random.key(seed), *draw(seed))


def _size(shape: Shape, dtype: Any, more: str = "") -> str:
    narrow = "" if dtype == jnp.float32 else f" {jnp.dtype(dtype).name}"
    return "×".join(map(str, shape)) + more + narrow


def _problem(
    rule: rules.Rule[..., Any],
    reference: Callable[..., Any],
    size: str,
    draw: Draw,
    sample: Draw,
    label: str = "",
    **settings: Any,
) -> RuleProblem:
    bound = rule.bind(**settings) if settings else rule

    def set_reference(*inputs: Any) -> Any:
        return reference(*inputs, **settings)

    name = f"{rule.__name__} {label}".strip()
    return RuleProblem(bound, name, size, set_reference, draw, (), sample)


def _of_rows(
    rule: rules.Rule[..., Any],
    reference: Callable[..., Any],
    vectors: int,
    change: Callable[[Draw], Draw] = lambda draw: draw,
    label: str = "",
    dtypes: Sequence[Any] = _WIDTHS,
    **settings: Any,
) -> list[RuleProblem]:
    """Returns a rule of 65,536 rows of 2,048 entries and of some vectors of 2,048."""

    def draw(rows: int, dtype: Any) -> Draw:
        return change(_drawn([(rows, 2048), *[(2048,)] * vectors], dtype))

    return [
        _problem(
            rule, reference, _size((65_536, 2_048), dtype), draw(65_536, dtype), draw(16, dtype),
            label, **settings,
        )
        for dtype in dtypes
    ]  # fmt: skip


def _of_images(
    rule: rules.Rule[..., Any],
    reference: Callable[..., Any],
    vectors: int,
    label: str,
    **settings: Any,
) -> RuleProblem:
    """Returns a rule of 256 images of 56×56×64 and of some vectors of 64."""

    def draw(images: int) -> Draw:
        return _drawn([(images, 56, 56, 64), *[(64,)] * vectors], jnp.float32)

    size = _size((256, 56, 56, 64), jnp.float32)
    return _problem(rule, reference, size, draw(256), draw(2), label, **settings)


def _convolution() -> RuleProblem:
    def draw(images: int) -> Draw:
        return _drawn([(images, 56, 56, 64), (3, 3, 64, 64), (64,)], jnp.float32)

    size = _size((256, 56, 56, 64), jnp.float32, "→64")
    return _problem(rules.conv2d, layers.conv2d, size, draw(256), draw(2), "3×3")


def _dense() -> list[RuleProblem]:
    def draw(n: int, dtype: Any) -> Draw:
        return _drawn([(n, 4096), (4096, 4096), (4096,)], dtype, (1.0, 1 / 64, 1.0))

    return [
        _problem(
            rules.dense, layers.dense, _size((8192, 4096), dtype, "→4096"), draw(8192, dtype),
            draw(16, dtype),
        )
        for dtype in _WIDTHS
    ]  # fmt: skip


def _attention(label: str, **settings: Any) -> list[RuleProblem]:
    def draw(shape: Shape, dtype: Any) -> Draw:
        return _drawn([shape] * 3, dtype)

    large, small = (8, 2048, 16, 64), (1, 256, 2, 64)
    return [
        _problem(
            rules.attention, sequences.attention, _size(large, dtype), draw(large, dtype),
            draw(small, dtype), label, **settings,
        )
        for dtype in _WIDTHS
    ]  # fmt: skip


def _recurrent(name: str, gates: int, states: int, biases: int) -> RuleProblem:
    def draw(batch: int, time: int, n_in: int, n: int) -> Draw:
        weights = [(n_in, gates * n), (n, gates * n), (gates * n,)]
        shapes = [(batch, time, n_in), *[(batch, n)] * states, *weights, *[(n,)] * biases]
        scales = [*[1.0] * (1 + states), n_in**-0.5, n**-0.5, *[1.0] * (1 + biases)]
        return _drawn(shapes, jnp.float32, scales)

    rule, reference = getattr(rules, name), getattr(sequences, name)
    return _problem(rule, reference, "128×128×256→512", draw(128, 128, 256, 512), draw(4, 8, 6, 16))


def _losses() -> list[RuleProblem]:
    def logits(rows: int, classes: int) -> Draw:
        return _with_integers(_drawn([(rows, classes)], jnp.float32), rows, classes)

    def last_layer(rows: int, d: int, classes: int) -> Draw:
        drawn = _drawn([(rows, d), (d, classes)], jnp.float32, (1.0, d**-0.5))
        return _with_integers(drawn, rows, classes)

    fused, idiom = rules.linear_cross_entropy, sequences.linear_cross_entropy
    return [
        _problem(
            rules.softmax_cross_entropy_with_integer_labels, functions.LOSSES[_CLASSES],
            "16384×32768", logits(16_384, 32_768), logits(16, 32_768),
        ),
        _problem(
            fused, idiom, "8192×1024→50257", last_layer(8192, 1024, 50_257), last_layer(64, 32, 257)
        ),
    ]  # fmt: skip


def _embedding() -> RuleProblem:
    def draw(count: int, vocabulary: int, width: int) -> Draw:
        return _with_integers(_drawn([(vocabulary, width)], jnp.float32), count, vocabulary)

    size = "65536 of 50257×1024"
    large, small = draw(65_536, 50_257, 1_024), draw(64, 257, 32)
    return _problem(rules.embedding, layers.embedding, size, large, small)


_POOLED = {"window": (3, 3), "stride": (2, 2)}
_ACTIVATIONS = functions.ACTIVATIONS

LARGE: tuple[RuleProblem, ...] = (
    *_of_rows(rules.layer_norm, layers.layer_norm, 2),
    *_of_rows(rules.rms_norm, layers.rms_norm, 1),
    *_of_rows(rules.batch_norm, layers.batch_norm, 2, dtypes=(jnp.float32,)),
    _of_images(rules.group_norm, layers.group_norm, 2, "8 groups", groups=8),
    *_attention("causal", causal=True),
    *_attention(""),
    *_losses(),
    _of_images(rules.max_pool, layers.max_pool, 0, "2×2"),
    _of_images(rules.max_pool, layers.max_pool, 0, "3×3 stride 2", **_POOLED),
    _of_images(rules.avg_pool, layers.avg_pool, 0, "2×2"),
    _convolution(),
    *_dense(),
    _recurrent("rnn", 1, 1, 0),
    _recurrent("lstm", 4, 2, 0),
    _recurrent("gru", 3, 1, 1),
    *_of_rows(rules.gelu, _ACTIVATIONS["gelu"], 0),
    *_of_rows(rules.silu, _ACTIVATIONS["silu"], 0),
    _embedding(),
    *_of_rows(rules.dropout, layers.dropout, 0, _with_key, "0.3", rate=0.3),
)
"""In float32, and where they are limited by what is moved, in bfloat16 too."""
