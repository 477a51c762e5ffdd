"""The third opinion: directional derivatives that share nothing with either side.

They are numerical, of values of the loss alone, never of a derivative rule, and come with error
bars. Who of the two sides is far outside of them is refuted.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from compare.checker.kinks import MANY, random_numbers
from compare.checker.noise.measure import LONG_RUN
from compare.checker.numerical.complex_step import complex_step, is_analytic
from compare.checker.numerical.derivative import Derivative, Leaves, Loss
from compare.checker.numerical.differences import central_differences, confirmed_differences, zeros
from compare.trees import called, of_blocks

__all__ = [
    "COMPLEX_STEP", "RANDOM_DIRECTIONS", "REFUTED", "Opinion", "Ruling", "along", "derivative_of",
    "random_direction", "rule",
]  # fmt: skip

COMPLEX_STEP = "complex step"
"""The method that fits a loss without kinks."""

RANDOM_DIRECTIONS = 3
"""Random directions through all leaves that differ."""

LEAVES = 8
"""In so many leaves, those that differ most, the worst entry is a direction as well."""

REFUTED = 10.0
"""A value is refuted where it is so many error bars away."""


class Opinion(NamedTuple):
    """One directional derivative, from three sources.

    Attributes:
        path: the leaf that the direction lies in, or how many leaves.
        manual: by manual's gradient.
        autodiff: by jax.grad's.
        referee: by the referee.
        error: how far off the referee may be.
    """

    path: str
    manual: float
    autodiff: float
    referee: float
    error: float


class Ruling(NamedTuple):
    """Who is wrong: `manual_wrong`, `autodiff_wrong`, `both` or `inconclusive`; and why."""

    verdict: str
    method: str
    opinions: list[Opinion]

    def __str__(self) -> str:
        told = max(self.opinions, key=_weight)
        return (
            f"the referee ({self.method}, {len(self.opinions)} directions) finds "
            f"{told.referee:.12g} ± {told.error:.0e} along one in {called(told.path)}, "
            f"where manual has {told.manual:.12g} and jax.grad {told.autodiff:.12g}"
        )


def rule(
    loss: Loss,
    leaves: Leaves,
    constants: list[Any],
    manual: Leaves,
    autodiff: Leaves,
    paths: list[str],
    seed: int,
) -> Ruling:
    """Decides between two gradients on the leaves `paths`; all arrays are float64.

    A gradient is refuted where it is off by REFUTED error bars in two directions, or in all there
    are. It ends with the first directions that prove manual wrong and jax.grad right.
    """
    method, derivative = derivative_of(loss, leaves, constants)

    def ruling(derivative: Derivative) -> Ruling:
        opinions: list[Opinion] = []
        random = 0
        for path, direction, is_random in _ahead(
            _directions(leaves, manual, autodiff, paths, seed)
        ):
            by_manual, by_autodiff = (along(g, direction) for g in (manual, autodiff))
            enough = _PROOF / 2 * abs(by_manual - by_autodiff)
            value, error = derivative(leaves, constants, direction, enough)
            opinions.append(Opinion(path, by_manual, by_autodiff, value, error))
            random += is_random
            if _is_proof(opinions, random):
                break
        return Ruling(_verdict(opinions), method, opinions)

    first = ruling(derivative)
    if first.verdict == "manual_wrong" or method == COMPLEX_STEP:
        return first
    # Kinks within the steps make an error bar too small, or too large: look more closely.
    return ruling(confirmed_differences(loss))


def derivative_of(loss: Loss, leaves: Leaves, constants: list[Any]) -> tuple[str, Derivative]:
    """Returns the name of the method that fits a loss, and the method."""
    traced = jax.make_jaxpr(loss)(list(leaves.values()), constants)
    if is_analytic(traced.jaxpr) and not any(map(np.iscomplexobj, leaves.values())):
        return COMPLEX_STEP, complex_step(loss)
    return "central differences", central_differences(loss)


def _verdict(opinions: list[Opinion]) -> str:
    manual = _refuted(opinions, [o.manual for o in opinions])
    autodiff = _refuted(opinions, [o.autodiff for o in opinions])
    if manual and autodiff:
        return "both"
    if manual:
        return "manual_wrong"
    return "autodiff_wrong" if autodiff else "inconclusive"


def _is_proof(opinions: list[Opinion], random: int) -> bool:
    """Whether the directions show manual to be wrong, and jax.grad to be right, beyond doubt.

    That an error of jax.grad's is so small a share of manual's in a random direction has about that
    share as its chance, and two random directions to a thousandth are worth one to a millionth.

    Args:
        opinions: the directions.
        random: how many of them are random.
    """
    shares = [
        max(o.error, abs(o.autodiff - o.referee)) / (abs(o.manual - o.referee) or math.nan)
        for o in opinions
    ]
    most = _PROOF**2 if random < 2 else _PROOF
    return len(opinions) >= 2 and random > 0 and all(own <= most for own in shares)


_PROOF = 1e-3
"""What share of manual's error, in two random directions, jax.grad's and the referee's may be."""


def _refuted(opinions: list[Opinion], values: list[float]) -> bool:
    refuting = sum(_refutes(o, value) for o, value in zip(opinions, values, strict=True))
    return refuting >= min(2, len(opinions))


def _refutes(opinion: Opinion, value: float) -> bool:
    """Whether a value is far outside the error bar; one that is no number always is."""
    return not abs(value - opinion.referee) <= REFUTED * opinion.error


def _gap(opinion: Opinion) -> float:
    gap = abs(opinion.manual - opinion.autodiff)
    return gap if np.isfinite(gap) else np.inf


def _weight(opinion: Opinion) -> tuple[float, float]:
    """What an opinion counts: of those that are beyond doubt the widest gap is the clearest."""
    gap = _gap(opinion)
    return min(gap / (opinion.error or 1e-300), 1 / _PROOF), gap


def along(gradient: Leaves, direction: Leaves) -> float:
    """Returns what a gradient says of a direction, both by path.

    Of a complex leaf z = x + iy JAX's gradient is ∂L/∂x − i ∂L/∂y, so that dL = Re(g dz).
    """
    return sum(complex(gradient[path].ravel() @ d.ravel()).real for path, d in direction.items())


def random_direction(
    rng: np.random.Generator, leaves: Leaves, into: Leaves | None = None
) -> Leaves:
    """Draws a unit vector through these leaves, each with the same share.

    Args:
        rng: draws it.
        leaves: by path.
        into: a vector that is not needed any more, whose arrays are written to.
    """
    into, share = into or {}, 1 / math.sqrt(len(leaves))
    return {path: _of_length(share, rng, leaf, into.get(path)) for path, leaf in leaves.items()}


def _of_length(
    length: float, rng: np.random.Generator, leaf: np.ndarray, into: np.ndarray | None
) -> np.ndarray:
    is_complex = np.iscomplexobj(leaf)
    if leaf.size > MANY and not is_complex:
        # The length of so many is known beforehand, to a hundredth.
        return random_numbers(rng, leaf.shape, length / math.sqrt(leaf.size), into=into)
    drawn = random_numbers(rng, leaf.shape)
    drawn = drawn + 1j * rng.standard_normal(leaf.shape) if is_complex else drawn
    return drawn * (length / np.linalg.norm(drawn))


def _directions(
    leaves: Leaves, manual: Leaves, autodiff: Leaves, paths: list[str], seed: int
) -> Iterator[tuple[str, Leaves, bool]]:
    """Unit vectors, each by its name, and whether it is random.

    The first is where the sides differ most, then there are random ones, then further leaves. Where
    the leaves are so large that a direction takes long, and the sides differ much in a random one,
    two such come first, since they are proof enough.
    """
    rng = np.random.default_rng(seed)
    worst = {path: _worst_entry(manual[path].ravel(), autodiff[path].ravel()) for path in paths}
    order = sorted(paths, key=lambda path: -worst[path][0])
    everywhere = paths[0] if len(paths) == 1 else f"{len(paths)} leaves"

    def along_worst(path: str) -> Leaves:
        _, at, share = worst[path]
        direction = zeros(leaves[path], type(share))
        direction.reshape(-1)[at] = share
        return {path: direction}

    drawn = _random_directions(rng, {path: leaves[path] for path in paths})
    first = next(drawn)
    is_long = sum(leaves[path].size for path in paths) > LONG_RUN
    by_manual, by_autodiff = (along(g, first) for g in (manual, autodiff))
    random_first = is_long and abs(by_manual - by_autodiff) > _MUCH * abs(by_autodiff)
    if not random_first:
        yield order[0], along_worst(order[0]), False
    yield everywhere, first, True
    yield everywhere, next(drawn), True
    if random_first:
        yield order[0], along_worst(order[0]), False
    for _ in range(RANDOM_DIRECTIONS - 2):
        yield everywhere, next(drawn), True
    for path in order[1:LEAVES]:
        yield path, along_worst(path), False


_MUCH = 0.01
"""A share of jax.grad's slope, as a small mistake in some of many entries does not make it."""


def _random_directions(rng: np.random.Generator, leaves: Leaves) -> Iterator[Leaves]:
    """Draws directions; each is used as the next one is made, and then written to."""
    last = None
    drawn = random_direction(rng, leaves)
    while True:
        yield drawn
        last, drawn = drawn, random_direction(rng, leaves, last)


def _worst_entry(manual: np.ndarray, autodiff: np.ndarray) -> tuple[float, int, float | complex]:
    """The size of the largest difference, NaN being the largest; its place; and its direction."""

    def of(block: slice) -> tuple[float, int]:
        with np.errstate(invalid="ignore"):
            sizes = np.nan_to_num(np.abs(manual[block] - autodiff[block]), nan=np.inf)
        at = int(np.argmax(sizes))
        return float(sizes[at]), block.start + at

    size, at = max(of_blocks(of, manual.size), key=lambda found: found[0])
    gap = manual[at] - autodiff[at]
    if np.iscomplexobj(gap):
        return size, at, complex(np.conj(gap) / abs(gap)) if abs(gap) > 0 else 1.0 + 0.0j
    return size, at, 1.0


def _ahead(
    directions: Iterator[tuple[str, Leaves, bool]],
) -> Iterator[tuple[str, Leaves, bool]]:
    """The same, the second, which most proofs need, made while the first is used."""
    first = next(directions)
    with ThreadPoolExecutor(1) as other:
        begun = other.submit(next, directions)
        yield first
        yield begun.result()
    yield from directions
