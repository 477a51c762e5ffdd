"""Rounding noise: how far rounding alone may move each leaf of a result. Two ways to measure it.

*Two precisions* (`TwoPrecisions`). The programs of both precisions are compiled already. At a few
points x_k, each entry of the given point moved by one unit in the last place of the narrow type,
the numbers are exactly representable in both, so that

    g_narrow(x_k) − g_float64(x_k)

is the rounding error of the narrow computation, with all that is born on the way, to a relative
error of 2⁻²⁹. Its root mean square over the points is the noise in the narrow type, and times
ε_float64 / ε_float32 = 2⁻²⁹ that in float64: a first-order rounding error is proportional to the
unit roundoff. It needs nothing but runs, and takes an accelerator's own arithmetic as it is.

It cannot see what float32 hides: in a saturated 1 − tanh² x both the value and its error are 0 in
float32, and ε in float64; and float32 overflows where float64 does not.

*Monte Carlo arithmetic* (`rounding`) sees that, and overestimates the rest, since a sum of n terms
seldom errs by √n units. It compiles another program, so it is asked only where a difference is not
yet explained, and could be.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.noise.points import perturbed_points, to_float32
from compare.checker.noise.rounding import draw_keys, rounding_noise
from compare.checker.sides.evaluation import DRAWS, Evaluation, Key, Point, Result, Sides
from compare.checker.sides.float64 import is_float32_on_cpu, is_float64_on_cpu
from compare.checker.sides.remembered import Remembered
from compare.checker.sides.side import Arrays, Side, digest, tracing
from compare.checker.sides.widened import widened
from compare.jaxprs import compiler_options
from compare.tolerance import student_factor
from compare.trees import cast, is_inexact, largest_difference, shape_of

__all__ = [
    "Noise", "TwoPrecisions", "in_narrower", "larger", "monte_carlo", "of_manual",
    "two_precisions",
]  # fmt: skip

FEW_DRAWS = 4
"""So many points come first where a run is long."""

MANY_DRAWS = 64
"""So many points where the type is narrow: its noise is large, and a mistake should not hide."""

LONG_RUN = 2**21
"""A run at more numbers than this is long: here a draw takes as long as a twentieth of the
compilation, measured on a network of 5.8 million parameters."""

MUCH_WORK = 2.0**29
"""So is one of more operations than this: here 16 draws take as long as the compilation, measured
on transformers."""

TO_FLOAT64 = float(np.finfo(np.float64).eps) / float(np.finfo(np.float32).eps)

_JUMP = 1000.0
"""A draw that is so many times as far off as the median has taken another branch."""


class Noise(NamedTuple):
    """The rounding noise of each leaf, and how much of it a difference may be.

    Attributes:
        by_leaf: the root mean square, over the draws, of the largest deviation of any entry.
        factor: tolerance over noise, Student's for so many draws; see `tolerance`.
        floor: whether a leaf has at least the noise of a unit in the last place of its largest
            entry; not where the rounding of the very side that is judged was measured.
    """

    by_leaf: dict[Key, float]
    factor: float = student_factor(DRAWS)
    floor: bool = True


class TwoPrecisions:
    """The rounding errors of the side that differentiates, at points around the given one.

    Args:
        evaluation: how to run it.
        side: the side that differentiates.
        arrays: the point, in the dtype asked for.
        value_name: what the report calls the value.
        around: what tells the point, as float32 has it, from another.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        side: Side,
        arrays: Arrays,
        value_name: str,
        around: bytes,
    ):
        self._evaluation, self._side, self._value_name = evaluation, side, value_name
        self._asked = arrays
        self._around = around
        # What runs by itself may keep what it was given.
        at_once = None if side.loss is None else 2
        self._points = perturbed_points(arrays, evaluation.seed, at_once)
        self._next: Arrays | None = None
        self._wide: Arrays | None = None
        self._in_float32: list[_Deviations] = []
        self._in_dtype: list[_Deviations] = []
        self._programs: dict[bool, list[Any]] = {}

    @property
    def first_draws(self) -> int:
        """How many draws to begin with: all, or a few where a run is long."""
        is_long = sum(np.size(x) for x in self._asked) > LONG_RUN or self._work() > MUCH_WORK
        return FEW_DRAWS if is_long else DRAWS

    def _work(self) -> float:
        """The operations of a run, a loop's counted once; 0 where that is not known."""
        if self._side.loss is None:  # It may not be compiled.
            return 0.0
        exact = [shape_of(x, np.float64) for x in self._asked]
        program = self._evaluation.program(self._side, exact, on_cpu=True).compile()
        return (program.cost_analysis() or {}).get("flops", 0.0)

    def begin_with(self, narrow: Result, wide: Result) -> bool:
        """Takes the point itself as the first draw where a run is long and the dtype is float32.

        Args:
            narrow: what the side returned there in float32.
            wide: what it returned there in float64.

        Returns:
            Whether there is a draw that costs nothing.
        """
        if not self._in_float32 and is_float32_on_cpu(self._asked) and self.first_draws < DRAWS:
            deviations = self._between(narrow, wide)
            self._in_float32.append(deviations)
            self._in_dtype.append(deviations)
        return bool(self._in_float32)

    def in_float64(self, draws: int) -> Noise:
        """Returns the noise in float64 from so many draws; a jump over a kink is left out."""
        self._draw(draws)
        kept = {key: _without_jumps(own) for key, own in _by_leaf(self._in_float32).items()}
        by_leaf = {key: TO_FLOAT64 * _root_mean_square(own) for key, own in kept.items()}
        return Noise(by_leaf, student_factor(draws))

    def in_dtype(self, draws: int) -> Noise:
        """Returns the noise in the dtype and on the device asked for, from so many draws."""
        self._draw(draws)
        own = _by_leaf(self._in_dtype)
        return Noise({key: _root_mean_square(d) for key, d in own.items()}, student_factor(draws))

    def _draw(self, draws: int) -> None:
        for number in range(len(self._in_float32), draws):
            finish = self._begun(number, self._next or next(self._points))
            # While it is computed.
            self._next = next(self._points) if number + 1 < draws else None
            finish()

    def _begun(self, number: int, point: Arrays) -> Callable[[], None]:
        """Begins a draw; what is returned waits for it, and keeps what it gives."""
        of_dtype = is_float32_on_cpu(self._asked)
        narrow = point if of_dtype else [cast(x, np.float32) for x in point]
        wide = functools.partial(self._in_double, narrow)
        if self._side.loss is not None:
            # Written once for both: the first may be running as the second begins.
            wide = functools.cache(wide)
        in_float32 = self._deviations(number, narrow, wide, on_cpu=not of_dtype)
        in_dtype = in_float32
        if not of_dtype and not is_float64_on_cpu(self._asked):
            in_dtype = self._deviations(number, point, wide, on_cpu=False)

        def finish() -> None:
            self._in_float32.append(in_float32())
            if not is_float64_on_cpu(self._asked):
                self._in_dtype.append(in_dtype())

        return finish

    def _deviations(
        self, number: int, narrow: Arrays, wide: Callable[[], Arrays], *, on_cpu: bool
    ) -> Callable[[], "_Deviations"]:
        """Begins to compute how far the narrow computation is from that in float64, at this draw.

        Args:
            number: of the draw.
            narrow: its point.
            wide: `wide()` is the point in float64.
            on_cpu: whether the narrow computation runs on the CPU, wherever the arrays are.

        Returns:
            What waits for it.
        """

        def measuring() -> Callable[[], _Deviations]:
            # Both at once: the second does not wait for the first.
            runs = (narrow, on_cpu), (wide(), True)
            results = [
                self._evaluation.run(self._side, x, on_cpu=cpu, wait=False) for x, cpu in runs
            ]

            return lambda: self._between(*results)

        if self._side.loss is None:  # It may not be compiled, and so have no program.
            return measuring()
        if on_cpu not in self._programs:
            shapes = [shape_of(x, np.float64) for x in narrow]
            self._programs[on_cpu] = [
                self._evaluation.program(self._side, x, on_cpu=cpu).key
                for x, cpu in ((narrow, on_cpu), (shapes, True))
            ]
        draw = self._around, self._evaluation.seed, number
        asked = (*draw, *self._programs[on_cpu], self._value_name)
        found = _MEASURED.get(asked)
        if found is not None:
            return lambda: found
        measured = measuring()

        def kept() -> _Deviations:
            found = measured()
            _MEASURED.put(asked, found)
            return found

        return kept

    def _between(self, narrow: Result, wide: Result) -> "_Deviations":
        own, reference = (result.leaves(self._value_name) for result in (narrow, wide))
        return {key: largest_difference(own[key], leaf) for key, leaf in reference.items()}

    def _in_double(self, narrow: Arrays) -> Arrays:
        """A point in float64, in the arrays of the draw before where nothing else has them."""
        if self._wide is None or self._side.loss is None:
            self._wide = [cast(x, np.float64) for x in narrow]
        else:
            for wide, x in zip(self._wide, narrow, strict=True):
                if is_inexact(x):
                    wide[...] = x
        return self._wide


_Deviations = dict[Key, float]

_MEASURED = Remembered[_Deviations](size=1024)
"""One gradient is often checked in several ways, and its reference is measured once for all."""


def two_precisions(
    sides: Sides, arrays: Arrays, of: Literal["manual", "autodiff"] = "autodiff"
) -> TwoPrecisions:
    """Returns the measurement of one side at a point, the one of before where there was one."""
    side = sides.autodiff if of == "autodiff" else sides.manual
    evaluation = sides.evaluation
    # The side that differentiates is compiled for this, whatever is asked for.
    how = evaluation._replace(jit=True) if side.loss is not None else evaluation
    around = digest([to_float32(x) for x in arrays])
    dtypes = tuple(x.dtype for x in arrays)
    return side.remember(
        around,
        ("two precisions", how, sides.value_name, dtypes),
        lambda: TwoPrecisions(evaluation, side, arrays, sides.value_name, around),
    )


def monte_carlo(sides: Sides, point: Point, *, freeze_decisions: bool) -> Noise:
    """Measures the noise of the side that differentiates by Monte Carlo arithmetic.

    Args:
        sides: how to run it.
        point: where, and what it returned there.
        freeze_decisions: as in `rounding_noise`.

    Raises:
        ValueError: the side cannot be traced.
    """
    layout, seed = sides.evaluation.layout, sides.evaluation.seed
    arrays = jax.device_put(point.arrays)
    side = sides.autodiff.in_float64(arrays, layout)
    fn = functools.partial(side.eager, layout=layout)

    def measure() -> Result:
        options = compiler_options(side.trace(arrays, layout).jaxpr.jaxpr)

        @functools.partial(jax.jit, compiler_options=options)
        def of_draws(arrays: Arrays, results: Any, keys: Any) -> Any:
            return rounding_noise(fn, [arrays], results, keys, freeze_decisions=freeze_decisions)

        results = point.autodiff.value, point.autodiff.grads
        return Result(*of_draws(arrays, results, draw_keys(DRAWS, seed)))

    with tracing(side, compiled=False):
        measured = side.remember(
            digest(point.arrays),
            ("Monte Carlo arithmetic", seed, layout, freeze_decisions),
            measure,
        )
    return Noise({key: float(leaf) for key, leaf in measured.leaves(sides.value_name).items()})


def in_narrower(sides: Sides, arrays: Arrays, dtype: Any, draws: int = MANY_DRAWS) -> Noise:
    """Measures the noise of a side that computes in a narrower type.

    The noise is manual's own (`of_manual`) where that can be had; but no more than that of the side
    that differentiates, computed in the narrower type throughout, so that a formula that loses
    digits is not excused by losing them. In a type that is for storing alone, as float8, nothing is
    computed throughout.

    Args:
        sides: how to run both.
        arrays: the point, in float64.
        dtype: the narrower type.
        draws: at how many points.

    Raises:
        ValueError: there is no noise to be had.
    """

    def error(point: Arrays) -> dict[Key, float]:
        narrow, exact = (
            sides.evaluation.run(
                sides.autodiff, [cast(x, t) for x in point], on_cpu=True, compiled=True
            ).leaves(sides.value_name)
            for t in (dtype, np.float64)
        )
        return {key: largest_difference(narrow[key], leaf) for key, leaf in exact.items()}

    if jnp.finfo(dtype).bits < _COMPUTED:
        return _of_manual_alone(sides, arrays, dtype, draws)
    throughout = _over_points(error, sides, arrays, dtype, draws)
    # What is run in one type alone rounds its inputs and constants to it, as `throughout` does.
    alone = sides.manual_dtype is not None
    own = None if alone else of_manual(sides, arrays, dtype, draws)
    if own is None:
        return throughout
    # The other side rounds too, in float64: where manual is exact that is all there is.
    exact = two_precisions(sides, arrays).in_float64(DRAWS).by_leaf
    by_leaf = {
        key: max(exact[key], _smaller(own.by_leaf.get(key), n))
        for key, n in throughout.by_leaf.items()
    }
    return throughout._replace(by_leaf=by_leaf, floor=False)


_COMPUTED = 16
"""With fewer bits a floating type is for storing alone: no two types are promoted to it."""


def _of_manual_alone(sides: Sides, arrays: Arrays, dtype: Any, draws: int) -> Noise:
    own = None if sides.manual_dtype is not None else of_manual(sides, arrays, dtype, draws)
    if own is None:
        raise ValueError(
            f"manual computes in {dtype} inside, and cannot be computed in float64 in its place: "
            "how much of an error that explains is not known"
        )
    exact = two_precisions(sides, arrays).in_float64(DRAWS).by_leaf
    by_leaf = {key: max(exact[key], noise) for key, noise in own.by_leaf.items()}
    return own._replace(by_leaf=by_leaf)


def of_manual(sides: Sides, arrays: Arrays, dtype: Any, draws: int = MANY_DRAWS) -> Noise | None:
    """Measures manual's own rounding: how far it is from itself, computed in float64 throughout.

    A mistake is in both, and does not count.

    Args:
        sides: how to run manual.
        arrays: the point, in float64.
        dtype: the narrower type that it computes in.
        draws: at how many points.

    Returns:
        The noise; None where manual cannot be traced, or not be run in float64.
    """
    wide = Side(widened(sides.manual.fn))
    own = np.float64 if sides.manual_dtype is None else sides.manual_dtype

    def error(point: Arrays) -> dict[Key, float]:
        one, other = (
            sides.evaluation.run(
                side, [cast(x, t) for x in point], on_cpu=True, compiled=True
            ).leaves(sides.value_name)
            for side, t in ((sides.manual, own), (wide, np.float64))
        )
        return {key: largest_difference(one[key], leaf) for key, leaf in other.items()}

    try:
        return _over_points(error, sides, arrays, dtype, draws)._replace(floor=False)
    except Exception:  # NumPy, a kernel, a carry of float32.
        return None


def _over_points(
    error: Callable[[Arrays], dict[Key, float]],
    sides: Sides,
    arrays: Arrays,
    dtype: Any,
    draws: int,
) -> Noise:
    """The root mean square of an error at points that the type cannot hold.

    So the rounding of the inputs counts as well.
    """
    rng = np.random.default_rng([sides.evaluation.seed, draws])
    unit = float(jnp.finfo(dtype).eps)
    found = []
    for _ in range(draws):
        point = [
            x * (1 + unit * rng.uniform(-1, 1, np.shape(x))) if is_inexact(x) else x for x in arrays
        ]
        found.append(error(point))
    by_leaf = {key: _root_mean_square(own) for key, own in _by_leaf(found).items()}
    return Noise(by_leaf, student_factor(draws))


def _smaller(own: float | None, throughout: float) -> float:
    known = [n for n in (own, throughout) if n is not None and np.isfinite(n)]
    return min(known, default=throughout)


def larger(one: Noise, other: Noise) -> Noise:
    """Returns the larger noise of each leaf, where it is finite; the tighter of both factors."""
    by_leaf = {}
    for key, noise in one.by_leaf.items():
        known = [n for n in (noise, other.by_leaf[key]) if np.isfinite(n)]
        by_leaf[key] = max(known) if known else noise
    return Noise(by_leaf, min(one.factor, other.factor))


def _by_leaf(draws: list[dict[Key, float]]) -> dict[Key, np.ndarray]:
    return {key: np.array([draw[key] for draw in draws]) for key in draws[0]}


def _without_jumps(deviations: np.ndarray) -> np.ndarray:
    """A ReLU on the other side in float32 changes a gradient by far more than rounding does."""
    return deviations[~(deviations > _JUMP * np.median(deviations))]


def _root_mean_square(deviations: np.ndarray) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.mean(np.square(deviations))))
