"""The third opinion: directional derivatives that share nothing with either side.

Where every primitive on the way is analytic, the complex step (Squire & Trapp 1998) gives the
derivative to rounding: Im f(x + i h d) / h has no subtraction. Elsewhere central differences at
several steps, extrapolated (Richardson 1911; Ridders 1982), come with an error bar of their own:
how much the extrapolations differ among themselves, plus the rounding of f over the step. Both use
values of the loss alone, never a derivative rule.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from compare.checker.kinks import MANY, random_numbers
from compare.checker.noise.rounding import unit_in_last_place
from compare.checker.sides.side import compiled
from compare.jaxprs import bind, called_jaxpr, evaluate
from compare.trees import aligned_empty, called, of_blocks

__all__ = [
    "RANDOM_DIRECTIONS", "REFUTED", "Derivative", "Loss", "Opinion", "Ruling", "along",
    "confirmed_differences", "derivative_of", "eager_differences", "random_direction", "rule",
]  # fmt: skip

RANDOM_DIRECTIONS = 3
"""Random directions through all leaves that differ."""

LEAVES = 8
"""In so many leaves, those that differ most, the worst entry is a direction as well."""

REFUTED = 10.0
"""A value is refuted where it is so many error bars away."""

Leaves = dict[str, np.ndarray]
Loss = Callable[[list[Any], list[Any]], Any]


class Derivative(Protocol):
    """The derivative of a loss in a direction, by a numerical method."""

    def __call__(
        self, leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        """Computes (value, error bar) in a direction given by path.

        An error bar of `enough` is not made smaller.
        """
        ...


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
        for path, direction in _ahead(_directions(leaves, manual, autodiff, paths, seed)):
            by_manual, by_autodiff = (along(g, direction) for g in (manual, autodiff))
            enough = _PROOF / 2 * abs(by_manual - by_autodiff)
            value, error = derivative(leaves, constants, direction, enough)
            opinions.append(Opinion(path, by_manual, by_autodiff, value, error))
            if _is_proof(opinions):
                break
        return Ruling(_verdict(opinions), method, opinions)

    first = ruling(derivative)
    if first.verdict == "manual_wrong" or method == "complex step":
        return first
    # Kinks within the steps make an error bar too small, or too large: look more closely.
    return ruling(confirmed_differences(loss))


def derivative_of(loss: Loss, leaves: Leaves, constants: list[Any]) -> tuple[str, Derivative]:
    """Returns the name of the method that fits a loss, and the method."""
    traced = jax.make_jaxpr(loss)(list(leaves.values()), constants)
    if _is_analytic(traced.jaxpr) and not any(map(np.iscomplexobj, leaves.values())):
        return "complex step", _complex_step(loss)
    return "central differences", _central_differences(loss)


def _verdict(opinions: list[Opinion]) -> str:
    manual = _refuted(opinions, [o.manual for o in opinions])
    autodiff = _refuted(opinions, [o.autodiff for o in opinions])
    if manual and autodiff:
        return "both"
    if manual:
        return "manual_wrong"
    return "autodiff_wrong" if autodiff else "inconclusive"


def _is_proof(opinions: list[Opinion]) -> bool:
    """Whether the directions show manual to be wrong, and jax.grad to be right, beyond doubt.

    That an error of jax.grad's is so small a share of manual's in a random direction, and no smaller
    elsewhere, has about that share as its chance: two directions to a thousandth, or one to a
    millionth. The first direction of all is not random.
    """
    shares = [
        max(o.error, abs(o.autodiff - o.referee)) / (abs(o.manual - o.referee) or math.nan)
        for o in opinions
    ]
    for directions, share in _PROOFS:
        if len(opinions) >= directions and all(own <= share for own in shares):
            return True
    return False


_PROOF = 1e-3
_PROOFS = ((2, _PROOF**2), (3, _PROOF))
"""So many directions, and the share of manual's error that the referee's own and jax.grad's are."""


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
) -> Iterator[tuple[str, Leaves]]:
    """Unit vectors by name: where the sides differ most, then random ones, then further leaves."""
    rng = np.random.default_rng(seed)
    worst = {path: _worst_entry(manual[path].ravel(), autodiff[path].ravel()) for path in paths}
    order = sorted(paths, key=lambda path: -worst[path][0])
    everywhere = paths[0] if len(paths) == 1 else f"{len(paths)} leaves"

    def along_worst(path: str) -> Leaves:
        _, at, share = worst[path]
        direction = _zeros(leaves[path], type(share))
        direction.reshape(-1)[at] = share
        return {path: direction}

    yield order[0], along_worst(order[0])
    random: list[Leaves] = []
    for _ in range(RANDOM_DIRECTIONS):
        into = random.pop(0) if len(random) == 2 else None  # One is used as the next is made.
        random.append(random_direction(rng, {path: leaves[path] for path in paths}, into))
        yield everywhere, random[-1]
    for path in order[1:LEAVES]:
        yield path, along_worst(path)


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


def _zeros(like: np.ndarray, dtype: Any) -> np.ndarray:
    zeros = aligned_empty(like.shape, dtype)
    zeros.fill(0)
    return zeros


def _ahead(directions: Iterator[tuple[str, Leaves]]) -> Iterator[tuple[str, Leaves]]:
    """The same, of those that most proofs need each made while the one before is used."""
    found = next(directions, None)
    with ThreadPoolExecutor(1) as other:
        for _ in range(min(_PROOFS)[0] - 1):
            if found is None:
                return
            begun = other.submit(next, directions, None)
            yield found
            found = begun.result()
    if found is not None:
        yield found
        yield from directions


_ANALYTIC = frozenset(
    "add add_any asin acos atan broadcast_in_dim concatenate convert_element_type copy cos cosh "
    "cumprod cumsum div dot_general exp exp2 expm1 expand_dims gather integer_pow log log1p "
    "logistic mul neg pad reduce_prod reduce_sum reshape rev rsqrt sin sinh slice sqrt square "
    "squeeze sub tan tanh transpose".split()
)


def _is_analytic(jaxpr: core.Jaxpr) -> bool:
    """Whether every floating equation is analytic; those of integers may be anything."""
    for eqn in jaxpr.eqns:
        inner = called_jaxpr(eqn)
        floats = [v for v in [*eqn.invars, *eqn.outvars] if _is_floating(v)]
        if inner is not None:
            if not _is_analytic(inner.jaxpr):
                return False
        elif floats and eqn.primitive.name not in _ANALYTIC:
            return False
    return True


def _is_floating(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jnp.floating)


def _complex_step(loss: Loss) -> Derivative:
    size = 1e-30

    @compiled
    def stepped(moved: list[Any], leaves: list[Any], constants: list[Any]) -> Any:
        closed = jax.make_jaxpr(loss)(leaves, constants)
        inputs = [*moved, *jax.tree.leaves(constants)]
        return jnp.imag(evaluate(closed.jaxpr, closed.consts, inputs, _complex_equation)[0]) / size

    def derivative(
        leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        # All leaves are complex, so that one program serves them all.
        moved = [x + 1j * size * direction.get(path, 0.0) for path, x in leaves.items()]
        value = float(stepped(moved, list(leaves.values()), constants))
        # Its rounding is that of the value itself; sums of many terms may lose a few digits.
        return value, max(abs(value), 1e-3) * 1e4 * unit_in_last_place(np.float64)

    return derivative


def _complex_equation(eqn: core.JaxprEqn, values: list[Any]) -> list[Any]:
    """One equation on complex inputs: what names a real dtype is not to drop the imaginary part."""
    name, inner = eqn.primitive.name, called_jaxpr(eqn)
    if inner is not None:
        return evaluate(inner.jaxpr, inner.consts, values, _complex_equation)
    if not any(jnp.iscomplexobj(v) for v in values):
        return bind(eqn, *values)
    if name == "convert_element_type":
        return values
    if name == "logistic":
        return [1 / (1 + jnp.exp(-values[0]))]
    params = dict(eqn.params)
    if name == "dot_general":
        params["preferred_element_type"] = None
    arrays = [jnp.asarray(v) for v in values]
    arrays = [v.astype(complex) if jnp.issubdtype(v.dtype, jnp.inexact) else v for v in arrays]
    return [eqn.primitive.bind(*arrays, **params)]


_SMALLEST_STEP, _STEPS = 2.0**-12, 10
_SMALLEST_FINE_STEP, _FINE_STEPS = 2.0**-20, 16

_AT_ONCE = 2
"""So many steps are one program, the smallest ones first: they are often enough."""

_STEPS_IN_PYTHON = 7
"""Fewer where each is two calls of a person's function."""


def _central_differences(
    loss: Loss, smallest: float = _SMALLEST_STEP, count: int = _STEPS
) -> Derivative:
    """Central differences at so many steps, each twice the one before: a few at once."""

    @compiled
    def values(
        leaves: list[Any], direction: list[Any], constants: list[Any], steps: Any
    ) -> jax.Array:
        def at(step: Any) -> Any:
            return loss([x + step * d for x, d in zip(leaves, direction, strict=True)], constants)

        return jax.lax.map(at, jnp.concatenate([steps, -steps]))

    placed: dict[str, Any] = {}  # On the device, of the last leaves.

    def derivative(
        leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        if placed.get("of") is not leaves:
            own = [*leaves.values()]
            zeros = [_zeros(x, x.dtype) for x in own]
            placed.update(of=leaves, own=jax.device_put(own), zeros=jax.device_put(zeros))
        directions = [
            direction.get(path, zero) for path, zero in zip(leaves, placed["zeros"], strict=True)
        ]
        slopes, per_step = np.zeros(0), np.zeros(0)
        best, error = math.nan, math.inf
        for first in range(0, count, _AT_ONCE):
            steps = smallest * 2.0 ** np.arange(first, first + _AT_ONCE)[::-1]
            found = np.asarray(values(placed["own"], directions, constants, steps))
            up, down = np.split(found, 2)
            slopes = np.concatenate([(up - down) / (2 * steps), slopes])
            per_step = np.concatenate([np.maximum(np.abs(up), np.abs(down)) / steps, per_step])
            best, error = _extrapolate(slopes, per_step)
            if error <= enough:
                break
        return best, error

    return derivative


def confirmed_differences(loss: Loss) -> Derivative:
    """Returns central differences down to small steps, at two sets that must find the same.

    A step over a kink gives each set another number, and so a large error bar.
    """
    sets = [
        _central_differences(loss, share * _SMALLEST_FINE_STEP, _FINE_STEPS)
        for share in (1.0, 0.71)
    ]

    def derivative(
        leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        (one, bar), (other, second) = (of(leaves, constants, direction) for of in sets)
        return one, max(bar, second, abs(one - other))

    return derivative


def eager_differences(loss: Loss) -> Derivative:
    """Returns central differences of a loss that jax cannot trace, one call after another."""
    steps = _SMALLEST_STEP * 2.0 ** np.arange(_STEPS_IN_PYTHON)[::-1]

    def derivative(
        leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        def at(step: float) -> float:
            return float(
                loss([x + step * direction.get(path, 0.0) for path, x in leaves.items()], constants)
            )

        up, down = np.array([at(s) for s in steps]), np.array([at(-s) for s in steps])
        return _extrapolate((up - down) / (2 * steps), np.maximum(np.abs(up), np.abs(down)) / steps)

    return derivative


def _extrapolate(slopes: np.ndarray, per_step: np.ndarray) -> tuple[float, float]:
    """Richardson's table on central differences, whose error is a series in the step squared.

    Of all entries the one with the smallest error bar: the distance to the two it was made from,
    three times over, and the rounding of the loss divided by the step, magnified by the table.
    """
    rounding = 4 * unit_in_last_place(np.float64) * per_step
    best, error = float(slopes[0]), np.inf
    row = slopes
    for k in range(1, len(slopes)):
        weight = 4.0**k
        better = (weight * row[1:] - row[:-1]) / (weight - 1)
        bars = (
            3 * np.maximum(np.abs(better - row[1:]), np.abs(better - row[:-1])) + 2 * rounding[k:]
        )
        i = int(np.argmin(bars))
        if bars[i] < error:
            best, error = float(better[i]), float(bars[i])
        row = better
    return best, error
