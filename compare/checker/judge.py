"""The judge of two sides that return (value, gradient): does rounding explain the difference?"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker import comparison
from compare.checker.comparison import Rows
from compare.checker.evaluation import Arrays, Evaluation, Result, Side
from compare.checker.float64 import float64_on_cpu, is_float64_on_cpu, matmul_precision, x64
from compare.checker.gradient_report import GradientReport
from compare.checker.investigation import Disagreement, investigate, overruled
from compare.checker.leaf import Loss
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
        jit: whether both sides run under `jax.jit`.
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
        found = _Judge(manual, autodiff, evaluation, value_name).finding(arrays)
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


class _Point(NamedTuple):
    """Some arrays, and what both sides return there."""

    arrays: Arrays
    manual: Result
    autodiff: Result


class _Judge(NamedTuple):
    """Who is judged, and how they are run."""

    manual: Side
    autodiff: Side
    evaluation: Evaluation
    value_name: str

    def finding(self, arrays: Arrays) -> _Finding:
        """Structure and finiteness, then the mathematics, then the arithmetic."""
        own = self._at(arrays)
        loss = Loss(own.manual.total, own.autodiff.total, math.nan)
        faults = self._structure_faults(own)
        if faults:
            return _Finding("structure_mismatch", loss, self._unjudged(own), faults)
        faults = self._nonfinite_faults(own)
        if faults:
            return self._not_finite(own, loss, faults)
        exact = self._in_float64(own)
        loss = loss._replace(reference=exact.autodiff.total)
        faults = [f"{fault} (in float64)" for fault in self._nonfinite_faults(exact)]
        if faults:
            return _Finding("nonfinite", loss, self._unjudged(exact), faults)
        return self._numbers(own, exact, loss)

    def _numbers(self, own: _Point, exact: _Point, loss: Loss) -> _Finding:
        with float64_on_cpu():
            noise = self._noise(exact, freeze_decisions=True)
        rows = comparison.mathematics(exact.manual, exact.autodiff, noise, self.value_name)
        if not all(math.isfinite(row.tolerance) for row in rows.values()):
            return _Finding("inconclusive", loss, rows, [_UNMEASURED])
        detectable = max(row.tolerance for (kind, _), row in rows.items() if kind == "grad")
        wrong = comparison.disagreeing(rows)
        if wrong:
            with float64_on_cpu():
                outcome = investigate(self._disagreement(exact, rows))
            details = [*wrong, *outcome.details]
            return _Finding(outcome.verdict, loss, rows, details, detectable, outcome.diagnosis)
        if not is_float64_on_cpu(own.arrays):
            noise = self._noise(own, freeze_decisions=False)
            rows = comparison.arithmetic(
                own.manual, own.autodiff, exact.autodiff, noise, self.value_name
            )
        wrong = comparison.disagreeing(rows)
        verdict = "manual_inaccurate" if wrong else "agree"
        return _Finding(verdict, loss, rows, wrong, detectable)

    def _not_finite(self, own: _Point, loss: Loss, faults: list[str]) -> _Finding:
        """The referee's word where only jax.grad's gradient is not finite."""
        rows = self._unjudged(own)
        only_autodiff = np.isfinite(loss.autodiff) and not self._faults_of("manual", own.manual)
        if only_autodiff:
            exact = self._in_float64(own)
            with float64_on_cpu():
                outcome = overruled(self._disagreement(exact, self._unjudged(exact)))
            if outcome is not None:
                return _Finding(outcome.verdict, loss, rows, [*faults, *outcome.details])
        return _Finding("nonfinite", loss, rows, faults)

    def _at(self, arrays: Arrays) -> _Point:
        return _Point(
            arrays,
            self.evaluation.run(self.manual, arrays),
            self.evaluation.run(self.autodiff, arrays),
        )

    def _in_float64(self, own: _Point) -> _Point:
        """The same point in float64 on the CPU; the point itself where it is that already."""
        if is_float64_on_cpu(own.arrays):
            return own
        with float64_on_cpu():
            return self._at([cast(x, np.float64) for x in own.arrays])

    def _noise(self, point: _Point, *, freeze_decisions: bool) -> Result:
        return self.evaluation.noise(
            self.autodiff, point.arrays, point.autodiff, freeze_decisions=freeze_decisions
        )

    def _disagreement(self, exact: _Point, rows: Rows) -> Disagreement:
        return Disagreement(
            self.manual, self.autodiff, self.evaluation, *exact, rows, self.value_name
        )

    def _structure_faults(self, point: _Point) -> list[str]:
        params = self.evaluation.layout.rebuild(point.arrays)[0]
        names = ("the parameter", "manual's gradient")
        faults = structure_faults(params, point.manual.grads, names)
        shapes = [
            {path: leaf.shape for path, leaf in by_path(side.value, self.value_name).items()}
            for side in (point.manual, point.autodiff)
        ]
        for path in sorted({path for path, _ in shapes[0].items() ^ shapes[1].items()}):
            m, a = (own.get(path, "missing") for own in shapes)
            faults.append(f"{path}: manual's shape is {m}, autodiff's is {a}")
        return faults

    def _nonfinite_faults(self, point: _Point) -> list[str]:
        return [
            *self._faults_of("manual", point.manual),
            *self._faults_of("autodiff", point.autodiff),
        ]

    def _faults_of(self, name: str, side: Result) -> list[str]:
        leaves = side.leaves(self.value_name)
        return [f for (_, path), leaf in leaves.items() for f in nonfinite_faults(name, path, leaf)]

    def _unjudged(self, point: _Point) -> Rows:
        return comparison.unjudged(point.manual, point.autodiff, self.value_name)


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
