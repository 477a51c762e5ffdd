"""The judge of two functions that return (value, gradient): does rounding explain the rest?"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from compare.gradient_report import GradientReport, Leaf, Loss
from compare.rounding import rounding_noise
from compare.trees import (
    by_path,
    cast,
    is_float,
    nonfinite_faults,
    require_floating,
    split_arrays,
    structure_faults,
)

__all__ = ["GradientCheck"]

DRAWS = 16
"""How many perturbed runs measure the rounding noise."""

FALSE_ALARM_RATE = 1e-6
"""The probability, for each leaf, that rounding alone exceeds the tolerance."""

NOISE_FACTOR = math.sqrt(2) * float(special.stdtrit(DRAWS, 1 - FALSE_ALARM_RATE / 2))
"""Tolerance over noise, 10.8: Student's quantile for a spread that is itself measured from DRAWS
runs, times √2 because the difference of two gradients carries the rounding of both."""

_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
)

Arrays = list[Any]
Key = tuple[str, str]
"""Which leaf: ("value" or "grad", path)."""
Rows = dict[Key, Leaf]


class _Result(NamedTuple):
    """What one side returned."""

    value: Any
    grads: Any

    def leaves(self, value_name: str) -> dict[Key, np.ndarray]:
        values, grads = by_path(self.value, value_name), by_path(self.grads)
        return {("value", k): v for k, v in values.items()} | {
            ("grad", k): v for k, v in grads.items()
        }


class _Finding(NamedTuple):
    """The outcome of the three questions."""

    verdict: str
    rows: Rows
    details: list[str]
    reference: _Result
    detectable: float


class GradientCheck:
    """One comparison, which several dtypes, with and without jit, share.

    Args:
        manual: `manual(params, *args) -> (value, grads)`, the side under test.
        autodiff: the same, by automatic differentiation.
        params: a pytree of floating arrays; `grads` must have its structure, shapes and dtypes.
        args: further arguments. Arrays are traced, everything else is passed on as it is.
        seed: of the perturbations that measure the noise.
        value_name: what the report calls the value, which may be any pytree.

    Raises:
        ValueError: `params` has no leaf, or one that is not a floating array.
    """

    def __init__(
        self,
        manual: Callable[..., Any],
        autodiff: Callable[..., Any],
        params: Any,
        args: Sequence[Any],
        *,
        seed: int,
        value_name: str = "loss",
    ):
        require_floating(params)
        self._arrays, self._rebuild = split_arrays((params, tuple(args)))
        self._sides = {"manual": self._on_arrays(manual), "autodiff": self._on_arrays(autodiff)}
        self._jitted = {side: jax.jit(fn) for side, fn in self._sides.items()}
        self._measured: dict[Any, dict[Key, float]] = {}
        self._seed = seed
        self._value_name = value_name

    def report(self, *, dtype: Any = None, jit: bool = True) -> GradientReport:
        """Asks the three questions, in their order, for one dtype, with or without jit.

        Raises:
            ValueError: `dtype` is no floating type, a function cannot be traced, returns something
                other than a pair, or cannot run in float64.
        """
        dtype = _floating_dtype(dtype)
        with _matmul_precision() as precision, _x64(dtype == np.float64):
            arrays = [cast(x, dtype) for x in self._arrays]
            manual = self._run("manual", arrays, jit)
            autodiff = self._run("autodiff", arrays, jit)
            found = self._judge(arrays, manual, autodiff, jit)
        device = jax.devices()[0]
        return GradientReport(
            verdict=found.verdict,
            loss=Loss(_total(manual), _total(autodiff), _total(found.reference)),
            leaves=tuple(row for (kind, _), row in found.rows.items() if kind == "grad"),
            details=tuple(found.details),
            diagnosis=None,
            dtype=_common_dtype(arrays),
            jit=jit,
            platform=device.platform,
            device_kind=device.device_kind,
            precision=precision,
            detectable=found.detectable,
        )

    def _judge(self, arrays: Arrays, manual: _Result, autodiff: _Result, jit: bool) -> _Finding:
        faults = self._structure_faults(arrays, manual, autodiff)
        if faults:
            rows = self._unjudged(manual, autodiff)
            return _Finding("structure_mismatch", rows, faults, autodiff, math.nan)
        faults = self._nonfinite_faults(manual, autodiff)
        if faults:
            rows = self._unjudged(manual, autodiff)
            return _Finding("nonfinite", rows, faults, autodiff, math.nan)
        reference, rows, faults = self._mathematics(arrays, jit)
        if faults:
            return _Finding("nonfinite", rows, faults, reference, math.nan)
        detectable = max(row.tolerance for (kind, _), row in rows.items() if kind == "grad")
        if all(row.agrees for row in rows.values()) and not _is_float64_on_cpu(arrays):
            rows = self._arithmetic(arrays, manual, autodiff, reference)
        wrong = [_difference(row) for row in rows.values() if not row.agrees]
        return _Finding("manual_wrong" if wrong else "agree", rows, wrong, reference, detectable)

    def _mathematics(self, arrays: Arrays, jit: bool) -> tuple[_Result, Rows, list[str]]:
        """Question 1: both sides in float64 on CPU, against the measured noise of each leaf."""
        with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
            arrays = [cast(x, np.float64) for x in arrays]
            manual = self._run("manual", arrays, jit)
            autodiff = self._run("autodiff", arrays, jit)
            noise = self._noise(arrays, autodiff, freeze_decisions=True)
        m, a = manual.leaves(self._value_name), autodiff.leaves(self._value_name)
        rows = {}
        for key in m:
            floor = _floor(noise[key], a[key], np.float64)
            rows[key] = Leaf.compare(
                key[1], m[key], a[key], dtype="float64", noise=floor, tolerance=NOISE_FACTOR * floor
            )
        return autodiff, rows, self._nonfinite_faults(manual, autodiff)

    def _arithmetic(
        self, arrays: Arrays, manual: _Result, autodiff: _Result, reference: _Result
    ) -> Rows:
        """Question 2: each side in the dtype asked for, against the float64 gradient.

        Manual's error may be twice autodiff's plus a floor, the noise of that dtype. Autodiff's
        error counts only up to the floor: where it is larger, the baseline is itself off, and
        manual passes by doing the same as autodiff or by being right.
        """
        m, a = manual.leaves(self._value_name), autodiff.leaves(self._value_name)
        r = reference.leaves(self._value_name)
        noise = self._noise(arrays, autodiff, freeze_decisions=False)
        rows = {}
        for key in m:
            dtype = a[key].dtype
            measured = _floor(noise[key], r[key], dtype)
            floor = NOISE_FACTOR * measured
            tolerance = 2 * min(_largest_difference(a[key], r[key]), floor) + floor
            agrees = (
                _largest_difference(m[key], r[key]) <= tolerance
                or _largest_difference(m[key], a[key]) <= floor
            )
            rows[key] = Leaf.compare(
                key[1], m[key], r[key], dtype=dtype, noise=measured, tolerance=tolerance,
                agrees=agrees,
            )  # fmt: skip
        return rows

    def _noise(
        self, arrays: Arrays, autodiff: _Result, *, freeze_decisions: bool
    ) -> dict[Key, float]:
        """The rounding noise of each leaf, measured once for each dtype."""
        key = (freeze_decisions, *(str(x.dtype) for x in arrays))
        if key not in self._measured:
            noise = rounding_noise(
                self._sides["autodiff"],
                [[jnp.asarray(x) for x in arrays]],
                (autodiff.value, autodiff.grads),
                draws=DRAWS,
                seed=self._seed,
                freeze_decisions=freeze_decisions,
            )
            leaves = _Result(*noise).leaves(self._value_name)
            self._measured[key] = {name: float(x) for name, x in leaves.items()}
        return self._measured[key]

    def _run(self, side: str, arrays: Arrays, jit: bool) -> _Result:
        run = (self._jitted if jit else self._sides)[side]
        try:
            return _Result(*jax.block_until_ready(run([jnp.asarray(x) for x in arrays])))
        except _UNTRACEABLE as error:
            hint = "; pass jit=False" if jit and side == "manual" else ""
            reason = str(error).splitlines()[0]
            raise ValueError(f"the {side} side cannot be traced by jax{hint}: {reason}") from error

    def _on_arrays(self, fn: Callable[..., Any]) -> Callable[[Arrays], Any]:
        def call(arrays: Arrays) -> Any:
            params, args = self._rebuild(arrays)
            result = fn(params, *args)
            if not (isinstance(result, tuple | list) and len(result) == 2):
                raise ValueError(
                    f"the hand-derived side must return (loss, grads); it returned a "
                    f"{type(result).__name__}"
                )
            return tuple(result)

        return call

    def _structure_faults(self, arrays: Arrays, manual: _Result, autodiff: _Result) -> list[str]:
        params = self._rebuild(arrays)[0]
        faults = structure_faults(params, manual.grads, ("the parameter", "manual's gradient"))
        shapes = [jax.tree.map(np.shape, side.value) for side in (manual, autodiff)]
        if shapes[0] != shapes[1]:
            faults.append(
                f"{self._value_name}: manual's shape is {shapes[0]}, autodiff's is {shapes[1]}"
            )
        return faults

    def _nonfinite_faults(self, manual: _Result, autodiff: _Result) -> list[str]:
        name = self._value_name
        sides = {"manual": manual.leaves(name), "autodiff": autodiff.leaves(name)}
        return [
            fault
            for side, leaves in sides.items()
            for fault in nonfinite_faults(side, {path: leaf for (_, path), leaf in leaves.items()})
        ]

    def _unjudged(self, manual: _Result, autodiff: _Result) -> Rows:
        """Manual beside autodiff where no tolerance applies: no leaf agrees."""
        m, a = manual.leaves(self._value_name), autodiff.leaves(self._value_name)
        return {
            key: Leaf.compare(
                key[1], m.get(key), a.get(key), dtype=(a.get(key, m.get(key))).dtype, agrees=False
            )
            for key in {**a, **m}
        }


def _floor(noise: float, reference: np.ndarray, dtype: Any) -> float:
    """The measured noise, and no less than one unit in the last place of the largest entry."""
    info = jnp.finfo(dtype)
    largest = float(np.max(np.abs(reference.astype(np.float64)), initial=0))
    return max(noise, float(info.eps) * largest, float(info.tiny))


def _largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0))


def _difference(row: Leaf) -> str:
    where = f" at {row.index}" if row.index else ""
    return (
        f"{row.path}: manual has {row.manual:.9g} where jax.grad has {row.reference:.9g}{where}; "
        f"they differ by {row.max_abs:.1e}, and rounding explains {row.tolerance:.1e}"
    )


def _total(result: _Result) -> float:
    """The value as one number: the loss itself, or the sum of a rule's outputs."""
    return float(sum(np.sum(np.asarray(x, np.float64)) for x in jax.tree.leaves(result.value)))


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
    precision = jax.config.jax_default_matmul_precision or "highest"
    with jax.default_matmul_precision(precision):
        yield precision


def _x64(needed: bool) -> Any:
    return jax.enable_x64(True) if needed else contextlib.nullcontext()
