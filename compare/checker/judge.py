"""The judge of two sides that return (value, gradient): does rounding explain the difference?"""

import contextlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker import comparison
from compare.checker.comparison import Comparison, Rows
from compare.checker.gradient_report import GradientReport
from compare.checker.investigation import Disagreement, investigate, overruled
from compare.checker.leaf import Loss
from compare.checker.noise import Noise, TwoPrecisions, larger, monte_carlo, two_precisions
from compare.checker.persistence import is_in_float32, is_mathematics
from compare.checker.sides.evaluation import DRAWS, Arrays, Evaluation, Point, Result, Side, Sides
from compare.checker.sides.float64 import (
    float64_on_cpu,
    is_float32_on_cpu,
    is_float64_on_cpu,
    matmul_precision,
    x64,
)
from compare.diagnosis.case import Diagnosis
from compare.trees import (
    Layout,
    by_path,
    cast,
    is_float,
    nonfinite_faults,
    require_floating,
    structure_faults,
)

__all__ = ["judge"]


def judge(
    manual: Side,
    autodiff: Side,
    params: Any,
    args: Sequence[Any],
    *,
    dtype: Any = None,
    jit: bool = True,
    seed: int = 0,
    value_name: str = "loss",
) -> GradientReport:
    """Asks the three questions of the two sides, in their order, at one point.

    Args:
        manual: the side under test.
        autodiff: the side that computes the same by automatic differentiation.
        params: a pytree of floating arrays; manual's gradient must be like it.
        args: further arguments. Arrays are traced, everything else is passed on as it is.
        dtype: every floating array is cast to it; None leaves them.
        jit: whether manual runs under `jax.jit`; the other side is always compiled.
        seed: of the perturbations that measure the noise.
        value_name: what the report calls the value, which may be any pytree.

    Raises:
        ValueError: `params` has no leaf, or one that is not a floating array; `dtype` is no
            floating type; a function cannot be traced or returns something other than a pair.
    """
    require_floating(params)
    dtype = _floating_dtype(dtype)
    point = (params, tuple(args))
    layout = Layout(point)
    with matmul_precision() as precision, x64(dtype == np.float64):
        arrays = [cast(x, dtype) for x in layout.arrays(point)]
        evaluation = Evaluation(layout, jit, seed)
        sides = Sides(manual, autodiff, evaluation, value_name)
        found = _Judge(sides).finding(arrays)
    device = jax.devices()[0]
    return GradientReport(
        verdict=found.verdict,
        loss=found.loss,
        leaves=tuple(row for (kind, _), row in found.rows.items() if kind == "grad"),
        details=tuple(found.details),
        diagnosis=found.diagnosis,
        dtype=_common_dtype(arrays),
        jit=jit,
        platform=device.platform,
        device_kind=device.device_kind,
        precision=precision,
        detectable=found.detectable,
    )


class _Finding(NamedTuple):
    """The outcome of the three questions."""

    verdict: str
    loss: Loss
    rows: Rows
    details: list[str]
    detectable: float = math.nan
    diagnosis: Diagnosis | None = None


class _Judge(NamedTuple):
    """Who is judged."""

    sides: Sides

    def finding(self, arrays: Arrays) -> _Finding:
        """Structure and finiteness, then the mathematics, then the arithmetic."""
        self._prepare(arrays)
        own = self.sides.at(arrays, on_cpu=is_float64_on_cpu(arrays))
        loss = Loss(own.manual.total, own.autodiff.total, math.nan)
        faults = self._structure_faults(own)
        if faults:
            return _Finding("structure_mismatch", loss, comparison.unjudged(own), faults)
        faults = self._nonfinite_faults(own)
        if faults:
            return self._not_finite(own, loss, faults)
        exact = self._in_float64(own)
        loss = loss._replace(reference=exact.autodiff.total)
        faults = [f"{fault} (in float64)" for fault in self._nonfinite_faults(exact)]
        if faults:
            return _Finding("nonfinite", loss, comparison.unjudged(exact), faults)
        return self._numbers(own, exact, loss)

    def _prepare(self, arrays: Arrays) -> None:
        """Compiles side by side what an agreement needs."""
        exact = [cast(x, np.float64) for x in arrays]
        runs = [(self.sides.autodiff, exact, True), (self.sides.manual, exact, True)]
        if not is_float64_on_cpu(arrays):
            runs += [(self.sides.autodiff, arrays, False), (self.sides.manual, arrays, False)]
        if not is_float32_on_cpu(arrays):
            runs.append((self.sides.autodiff, [cast(x, np.float32) for x in arrays], True))
        self.sides.evaluation.prepare(*runs)

    def _numbers(self, own: Point, exact: Point, loss: Loss) -> _Finding:
        noise = two_precisions(self.sides, own.arrays)
        found = self._mathematics(own, exact, noise)
        if not _is_measured(found):
            return _Finding("inconclusive", loss, comparison.rows(found), [_UNMEASURED])
        detectable = max(one.tolerance for (kind, _), one in found.items() if kind == "grad")
        if not all(one.agrees for one in found.values()):
            rows = comparison.rows(found)
            with float64_on_cpu():
                outcome = investigate(self._disagreement(exact, rows))
            details = [*comparison.disagreeing(rows), *outcome.details]
            return _Finding(outcome.verdict, loss, rows, details, detectable, outcome.diagnosis)
        if not is_float64_on_cpu(own.arrays):
            found = self._arithmetic(own, exact, noise)
        rows = comparison.rows(found)
        wrong = comparison.disagreeing(rows)
        verdict = "manual_inaccurate" if wrong else "agree"
        return _Finding(verdict, loss, rows, wrong, detectable)

    def _mathematics(self, own: Point, exact: Point, noise: TwoPrecisions) -> Comparison:
        """Question 1, by the cheapest measurement of the noise that answers it."""

        def by(measured: Noise) -> Comparison:
            return comparison.mathematics(exact, measured)

        found = by(noise.in_float64(noise.first_draws))
        if _is_clear(found) or (
            _is_measured(found) and is_in_float32(self.sides, own, exact, found)
        ):
            return found
        measured = noise.in_float64(DRAWS)
        found = by(measured)
        if _is_settled(found) or (
            _is_measured(found) and is_mathematics(self.sides, own, exact, found)
        ):
            return found
        return by(larger(measured, self._monte_carlo(exact, exact=True)))

    def _arithmetic(self, own: Point, exact: Point, noise: TwoPrecisions) -> Comparison:
        """Question 2, in the same way."""

        def by(measured: Noise) -> Comparison:
            return comparison.arithmetic(own, exact, measured)

        found = by(noise.in_dtype(noise.first_draws))
        if _is_clear(found):
            return found
        measured = noise.in_dtype(DRAWS)
        found = by(measured)
        if _is_settled(found):
            return found
        return by(larger(measured, self._monte_carlo(own, exact=False)))

    def _not_finite(self, own: Point, loss: Loss, faults: list[str]) -> _Finding:
        """The referee's word where only jax.grad's gradient is not finite."""
        rows = comparison.unjudged(own)
        only_autodiff = np.isfinite(loss.autodiff) and not self._faults_of("manual", own.manual)
        if only_autodiff:
            exact = self._in_float64(own)
            with float64_on_cpu():
                outcome = overruled(self._disagreement(exact, comparison.unjudged(exact)))
            if outcome is not None:
                return _Finding(outcome.verdict, loss, rows, [*faults, *outcome.details])
        return _Finding("nonfinite", loss, rows, faults)

    def _in_float64(self, own: Point) -> Point:
        """The same point in float64 on the CPU; the point itself where it is that already."""
        if is_float64_on_cpu(own.arrays):
            return own
        return self.sides.at([cast(x, np.float64) for x in own.arrays], on_cpu=True)

    def _monte_carlo(self, point: Point, *, exact: bool) -> Noise:
        with float64_on_cpu() if exact else contextlib.nullcontext():
            return monte_carlo(self.sides, point, freeze_decisions=exact)

    def _disagreement(self, exact: Point, rows: Rows) -> Disagreement:
        return Disagreement(self.sides, exact, rows)

    def _structure_faults(self, point: Point) -> list[str]:
        params = self.sides.evaluation.layout.rebuild(point.arrays)[0]
        names = ("the parameter", "manual's gradient")
        faults = structure_faults(params, point.manual.grads, names)
        shapes = [
            {path: leaf.shape for path, leaf in by_path(side.value, self.sides.value_name).items()}
            for side in (point.manual, point.autodiff)
        ]
        for path in sorted({path for path, _ in shapes[0].items() ^ shapes[1].items()}):
            m, a = (own.get(path, "missing") for own in shapes)
            faults.append(f"{path}: manual's shape is {m}, autodiff's is {a}")
        return faults

    def _nonfinite_faults(self, point: Point) -> list[str]:
        return [
            *self._faults_of("manual", point.manual),
            *self._faults_of("autodiff", point.autodiff),
        ]

    def _faults_of(self, name: str, side: Result) -> list[str]:
        leaves = side.leaves(self.sides.value_name)
        return [f for (_, path), leaf in leaves.items() for f in nonfinite_faults(name, path, leaf)]


def _is_measured(found: Comparison) -> bool:
    return all(math.isfinite(one.tolerance) for one in found.values())


def _is_settled(found: Comparison) -> bool:
    return all(one.is_settled for one in found.values())


def _is_clear(found: Comparison) -> bool:
    return all(one.is_clear for one in found.values())


_UNMEASURED = (
    "jax.grad's rounding noise in float64 cannot be measured: moved by a unit in the last place, "
    "its own computation is not finite; scale the inputs down"
)


def _floating_dtype(dtype: Any) -> Any:
    if dtype is None:
        return None
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.dtype(dtype)
    raise ValueError(f"dtype must be a floating type (float32, float64, bfloat16); got {dtype!r}")


def _common_dtype(arrays: Arrays) -> str:
    names = {str(x.dtype) for x in arrays if is_float(x)}
    return names.pop() if len(names) == 1 else "mixed"
