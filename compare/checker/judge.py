"""The judge of two sides that return (value, gradient): does rounding explain the difference?"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from compare.checker.evaluation import DRAWS, Arrays, Evaluation, Key, Result, Side
from compare.checker.gradient_report import Diagnosis, GradientReport, Leaf, Loss
from compare.checker.investigation import Disagreement, Outcome, investigate, overruled
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

FALSE_ALARM_RATE = 1e-6
"""The probability, for each leaf, that rounding alone exceeds the tolerance."""

NOISE_FACTOR = math.sqrt(2) * float(special.stdtrit(DRAWS, 1 - FALSE_ALARM_RATE / 2))
"""Tolerance over noise, 10.8: Student's quantile for a spread that is itself measured from DRAWS
runs, times √2 because the difference of two gradients carries the rounding of both."""

Rows = dict[Key, Leaf]


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
    with _matmul_precision() as precision, _x64(dtype == np.float64):
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


class _Judge(NamedTuple):
    """Who is judged, and at which point."""

    manual: Side
    autodiff: Side
    evaluation: Evaluation
    value_name: str

    def finding(self, arrays: Arrays) -> _Finding:
        """Structure and finiteness, then the mathematics, then the arithmetic."""
        manual = self.evaluation.run(self.manual, arrays)
        autodiff = self.evaluation.run(self.autodiff, arrays)
        loss = Loss(manual.total, autodiff.total, math.nan)
        faults = self._structure_faults(arrays, manual, autodiff)
        if faults:
            return _Finding("structure_mismatch", loss, self._unjudged(manual, autodiff), faults)
        faults = self._nonfinite_faults(manual, autodiff)
        if faults:
            outcome = self._overruled(arrays, manual, autodiff)
            verdict, details = (outcome.verdict, outcome.details) if outcome else ("nonfinite", [])
            rows = self._unjudged(manual, autodiff)
            return _Finding(verdict, loss, rows, [*faults, *details])
        return self._numbers(arrays, manual, autodiff)

    def _numbers(self, arrays: Arrays, manual: Result, autodiff: Result) -> _Finding:
        manual64, reference, noise = self._in_float64(arrays)
        loss = Loss(manual.total, autodiff.total, reference.total)
        faults = self._nonfinite_faults(manual64, reference)
        if faults:
            faults = [f"{fault} (in float64)" for fault in faults]
            return _Finding("nonfinite", loss, self._unjudged(manual64, reference), faults)
        rows = self._mathematics(manual64, reference, noise)
        if not all(math.isfinite(row.tolerance) for row in rows.values()):
            return _Finding("inconclusive", loss, rows, [_UNMEASURED])
        detectable = max(row.tolerance for (kind, _), row in rows.items() if kind == "grad")
        wrong = [_difference(row) for row in rows.values() if not row.agrees]
        if wrong:
            outcome = self._investigate(arrays, manual64, reference, rows)
            details = [*wrong, *outcome.details]
            return _Finding(outcome.verdict, loss, rows, details, detectable, outcome.diagnosis)
        if not _is_float64_on_cpu(arrays):
            noise = self._noise(arrays, autodiff, freeze_decisions=False)
            rows = self._arithmetic(manual, autodiff, reference, noise)
        wrong = [_difference(row) for row in rows.values() if not row.agrees]
        verdict = "manual_inaccurate" if wrong else "agree"
        return _Finding(verdict, loss, rows, wrong, detectable)

    def _investigate(self, arrays: Arrays, manual: Result, autodiff: Result, rows: Rows) -> Outcome:
        with jax.enable_x64(True), _on_cpu():
            return investigate(self._disagreement(arrays, manual, autodiff, rows))

    def _overruled(self, arrays: Arrays, manual: Result, autodiff: Result) -> Outcome | None:
        """The referee's word where only jax.grad's gradient is not finite."""
        only_autodiff = not any(self._faults_of("manual", manual)) and np.isfinite(autodiff.total)
        if not only_autodiff:
            return None
        with jax.enable_x64(True), _on_cpu():
            arrays = [cast(x, np.float64) for x in arrays]
            manual = self.evaluation.run(self.manual, arrays)
            autodiff = self.evaluation.run(self.autodiff, arrays)
            rows = self._unjudged(manual, autodiff)
            return overruled(self._disagreement(arrays, manual, autodiff, rows))

    def _disagreement(
        self, arrays: Arrays, manual: Result, autodiff: Result, rows: Rows
    ) -> Disagreement:
        return Disagreement(
            self.manual,
            self.autodiff,
            self.evaluation,
            [cast(x, np.float64) for x in arrays],
            (manual, autodiff),
            rows,
            self._mathematics,
            NOISE_FACTOR,
        )

    def _in_float64(self, arrays: Arrays) -> tuple[Result, Result, Result]:
        """Manual, autodiff and autodiff's rounding noise, in float64 on CPU."""
        with jax.enable_x64(True), _on_cpu():
            arrays = [cast(x, np.float64) for x in arrays]
            manual = self.evaluation.run(self.manual, arrays)
            autodiff = self.evaluation.run(self.autodiff, arrays)
            return manual, autodiff, self._noise(arrays, autodiff, freeze_decisions=True)

    def _noise(self, arrays: Arrays, autodiff: Result, *, freeze_decisions: bool) -> Result:
        return self.evaluation.noise(
            self.autodiff, arrays, autodiff, freeze_decisions=freeze_decisions
        )

    def _mathematics(self, manual: Result, autodiff: Result, noise: Result) -> Rows:
        """Question 1: the difference in float64 against the measured noise of each leaf."""
        m, a, spread = (side.leaves(self.value_name) for side in (manual, autodiff, noise))
        rows = {}
        for key in m:
            floor = _floor(spread[key], a[key], np.float64)
            rows[key] = Leaf.compare(
                key[1], m[key], a[key], dtype="float64", noise=floor, tolerance=NOISE_FACTOR * floor
            )
        return rows

    def _arithmetic(
        self, manual: Result, autodiff: Result, reference: Result, noise: Result
    ) -> Rows:
        """Question 2: each side in the dtype asked for, against the float64 gradient.

        Manual's error may be twice autodiff's plus a floor, the noise of that dtype. Autodiff's
        error counts only up to the floor: where it is larger, the baseline is itself off, and
        manual passes by doing the same as autodiff or by being right. Noise that is not finite says
        nothing (a saturated tanh, moved off 1, in bfloat16): then the floor is that of the unit
        roundoff, and autodiff's error counts in full.
        """
        sides = (manual, autodiff, reference, noise)
        m, a, r, spread = (side.leaves(self.value_name) for side in sides)
        rows = {}
        for key in m:
            telling = np.isfinite(spread[key])
            measured = _floor(spread[key] if telling else 0.0, r[key], a[key].dtype)
            floor = NOISE_FACTOR * measured
            own_error = _largest_difference(a[key], r[key])
            tolerance = 2 * (min(own_error, floor) if telling else own_error) + floor
            agrees = (
                _largest_difference(m[key], r[key]) <= tolerance
                or _largest_difference(m[key], a[key]) <= floor
            )
            rows[key] = Leaf.compare(
                key[1], m[key], r[key], dtype=a[key].dtype, noise=measured, tolerance=tolerance,
                agrees=agrees,
            )  # fmt: skip
        return rows

    def _structure_faults(self, arrays: Arrays, manual: Result, autodiff: Result) -> list[str]:
        params = self.evaluation.layout.rebuild(arrays)[0]
        faults = structure_faults(params, manual.grads, ("the parameter", "manual's gradient"))
        shapes = [
            {path: leaf.shape for path, leaf in by_path(side.value, self.value_name).items()}
            for side in (manual, autodiff)
        ]
        for path in sorted({path for path, _ in shapes[0].items() ^ shapes[1].items()}):
            m, a = (own.get(path, "missing") for own in shapes)
            faults.append(f"{path}: manual's shape is {m}, autodiff's is {a}")
        return faults

    def _nonfinite_faults(self, manual: Result, autodiff: Result) -> list[str]:
        return [*self._faults_of("manual", manual), *self._faults_of("autodiff", autodiff)]

    def _faults_of(self, name: str, side: Result) -> list[str]:
        leaves = side.leaves(self.value_name)
        return [f for (_, path), leaf in leaves.items() for f in nonfinite_faults(name, path, leaf)]

    def _unjudged(self, manual: Result, autodiff: Result) -> Rows:
        """Manual beside autodiff where no tolerance applies: no leaf agrees."""
        m, a = manual.leaves(self.value_name), autodiff.leaves(self.value_name)
        return {
            key: Leaf.compare(key[1], m.get(key), a.get(key), dtype=leaf.dtype, agrees=False)
            for key, leaf in {**m, **a}.items()
        }


_UNMEASURED = (
    "jax.grad's rounding noise in float64 cannot be measured: moved by a unit in the last place, "
    "its own computation is not finite; scale the inputs down"
)


def _floor(noise: Any, reference: np.ndarray, dtype: Any) -> float:
    """The measured noise, and no less than one unit in the last place of the largest entry."""
    info = jnp.finfo(dtype)
    largest = float(np.max(np.abs(reference.astype(np.float64)), initial=0))
    return max(float(noise), float(info.eps) * largest, float(info.tiny))


def _largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0))


def _difference(row: Leaf) -> str:
    where = f" at {row.index}" if row.index else ""
    return (
        f"{row.path}: manual has {row.manual:.9g} where jax.grad has {row.reference:.9g}{where}; "
        f"they differ by {row.max_abs:.1e}, and rounding explains {row.tolerance:.1e}"
    )


def _floating_dtype(dtype: Any) -> Any:
    if dtype is None:
        return None
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.dtype(dtype)
    raise ValueError(f"dtype must be a floating type (float32, float64, bfloat16); got {dtype!r}")


def _is_float64_on_cpu(arrays: Arrays) -> bool:
    on_cpu = jax.default_backend() == "cpu"
    return on_cpu and all(x.dtype == np.float64 for x in arrays if is_float(x))


def _common_dtype(arrays: Arrays) -> str:
    names = {str(x.dtype) for x in arrays if is_float(x)}
    return names.pop() if len(names) == 1 else "mixed"


@contextlib.contextmanager
def _matmul_precision() -> Iterator[str]:
    """The precision that the caller has set, and "highest" where none is."""
    # JAX makes its options attributes at run time, where a type checker cannot see them.
    chosen = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    precision = chosen or "highest"
    with jax.default_matmul_precision(precision):
        yield precision


def _on_cpu() -> Any:
    """Makes the CPU the default device; not where it is already, as that would recompile."""
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    return jax.default_device(jax.local_devices(backend="cpu")[0])


def _x64(needed: bool) -> Any:
    return jax.enable_x64(True) if needed else contextlib.nullcontext()
