"""One rule with its reference, and what its inputs are drawn by."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from manual.rules import Rule

__all__ = [
    "Draw", "RuleProblem", "Shape", "Sizes", "columns", "entry", "images", "matrices", "normal"
]  # fmt: skip

Shape = tuple[int, ...]
Draw = Callable[[int], tuple[Any, ...]]
Sizes = Sequence[tuple[str, Draw]]


class RuleProblem(NamedTuple):
    """One rule at one size.

    Attributes:
        rule: the rule, its settings bound.
        name: its name, with its settings.
        size: the size of its inputs, in words.
        reference: `reference(*inputs) -> out`, in the idiom of jax.nn and optax.
        draw: `draw(seed) -> inputs`; floating inputs are float32.
        examples: which inputs have examples on their first axis.
        sample: draws a smaller input, for which the rule does the same, loops over blocks included:
            on it agreement is proved; None where it is proved on `draw`'s.
    """

    rule: Rule[..., Any]
    name: str
    size: str
    reference: Callable[..., Any]
    draw: Draw
    examples: tuple[int, ...] = (0,)
    sample: Draw | None = None


def entry(
    rule: Rule[..., Any],
    reference: Callable[..., Any],
    sizes: Sizes,
    *,
    label: str = "",
    examples: tuple[int, ...] = (0,),
    sample: Draw | Sequence[Draw] | None = None,
    **settings: Any,
) -> list[RuleProblem]:
    """Pairs a rule with its reference, at several sizes.

    The larger sizes are proved on `sample`, or each on its own of several; where it is None, on the
    smallest.
    """
    name = f"{rule.__name__} {label}".strip()
    bound = rule.bind(**settings) if settings else rule
    other = partial(reference, **settings) if settings else reference
    (size, smallest), *larger = sizes
    made = partial(RuleProblem, bound, name, reference=other, examples=examples)
    samples = sample if isinstance(sample, Sequence) else [sample or smallest] * len(larger)
    return [
        made(size=size, draw=smallest),
        *(
            made(size=size, draw=draw, sample=own)
            for (size, draw), own in zip(larger, samples, strict=True)
        ),
    ]


def normal(*shapes: Shape, scales: Sequence[float] | None = None) -> Draw:
    """Draws normal inputs, one of each shape, of standard deviation 1 or of these."""
    sized = list(zip(shapes, scales or [1.0] * len(shapes), strict=True))

    def draw(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        return tuple(
            jnp.asarray(rng.standard_normal(shape) * scale, jnp.float32) for shape, scale in sized
        )

    return draw


def matrices(*extra: Callable[[Shape], Shape], rows: int = 1024) -> Sizes:
    """Returns sizes for a rule of a matrix and of arrays whose shapes follow from the matrix's."""
    shapes = ((64, 128), (rows, 512))
    return [(f"{n}×{c}", normal((n, c), *(follow((n, c)) for follow in extra))) for n, c in shapes]


def columns(shape: Shape) -> Shape:
    """Returns the shape of one number a column."""
    return shape[-1:]


def images(*extra: Callable[[Shape], Shape]) -> Sizes:
    """Returns sizes for a rule of images and of arrays whose shapes follow from the images'."""
    return [
        ("×".join(map(str, shape)), normal(shape, *(follow(shape) for follow in extra)))
        for shape in ((32, 14, 14, 32), (128, 28, 28, 16))
    ]
