"""What a comparison of two gradients found, as data and as text."""

import contextlib
import linecache
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

__all__ = ["Diagnosis", "GradientReport", "Leaf", "Loss", "json_ready"]


class Loss(NamedTuple):
    """The value of the loss on each side; `reference` is autodiff's in float64 on CPU."""

    manual: float
    autodiff: float
    reference: float


@dataclass(frozen=True)
class Leaf:
    """One leaf of the gradient: how far manual is from the reference, and how far it may be.

    Attributes:
        path: where the leaf is in the parameters, such as `0/w`.
        shape: its shape.
        dtype: the dtype that these numbers were computed in. A disagreement of the mathematics is
            shown in float64, where it was found, whatever the dtype asked for.
        max_abs: the largest |manual − reference| of any entry.
        max_rel: the largest |manual − reference| / |reference|, over entries with reference ≠ 0.
        max_ulp: the largest |manual − reference| in units in the last place of the reference.
        ratio: `max_abs / noise`; a right gradient is at about 1 or below.
        cosine: the cosine between the two leaves as vectors; 1 where both are zero.
        noise: the measured rounding noise of this leaf.
        tolerance: the largest `max_abs` that rounding explains.
        agrees: whether `max_abs <= tolerance`, both sides being finite and of one shape.
        index: the entry with the largest error; None where shapes differ.
        manual: manual's number there.
        reference: the reference's number there.
        error_map: of a matrix that disagrees, where the error is: the largest of each block of
            entries, 64 by 64 blocks at most; else None.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    max_abs: float
    max_rel: float
    max_ulp: float
    ratio: float
    cosine: float
    noise: float
    tolerance: float
    agrees: bool
    index: tuple[int, ...] | None
    manual: float
    reference: float
    error_map: tuple[tuple[float, ...], ...] | None = field(default=None, repr=False)

    @classmethod
    def compare(
        cls,
        path: str,
        manual: np.ndarray | None,
        reference: np.ndarray | None,
        *,
        dtype: Any,
        noise: float = math.nan,
        tolerance: float = math.nan,
        agrees: bool | None = None,
    ) -> "Leaf":
        """Computes the numbers of one leaf; NaN throughout where a side is missing or misshapen.

        `agrees` overrides the comparison of `max_abs` with `tolerance`.
        """
        known = reference if manual is None else manual
        shape = () if known is None else known.shape
        if manual is None or reference is None or manual.shape != reference.shape:
            nan = math.nan
            numbers = dict.fromkeys(("max_abs", "max_rel", "max_ulp", "ratio", "cosine"), nan)
            where = {"index": None, "manual": nan, "reference": nan}
            return cls(path, shape, str(dtype), **numbers, noise=noise, tolerance=tolerance,
                       agrees=False, **where)  # fmt: skip
        m, r = manual.astype(np.float64), reference.astype(np.float64)
        with np.errstate(invalid="ignore"):  # Inf − Inf is NaN, which is what is reported.
            error = np.abs(m - r)
        max_abs = float(np.max(error, initial=0))
        worst = np.unravel_index(np.argmax(error), error.shape) if error.size else None
        agrees = max_abs <= tolerance if agrees is None else agrees
        return cls(
            path,
            shape,
            str(dtype),
            max_abs=max_abs,
            max_rel=float(np.max(error[r != 0] / np.abs(r[r != 0]), initial=0)),
            max_ulp=float(np.max(error / _spacing(r, dtype), initial=0)),
            ratio=_ratio(max_abs, noise),
            cosine=_cosine(m.ravel(), r.ravel()),
            noise=noise,
            tolerance=tolerance,
            agrees=agrees,
            index=None if worst is None else tuple(int(i) for i in worst),
            manual=math.nan if worst is None else float(m[worst]),
            reference=math.nan if worst is None else float(r[worst]),
            error_map=None if agrees else _error_map(error),
        )

    @property
    def excess(self) -> float:
        """The error in units of the tolerance; infinite where the error is not a number."""
        if math.isnan(self.max_abs):
            return math.inf
        return _ratio(self.max_abs, self.tolerance)


def _ratio(error: float, unit: float) -> float:
    """The quotient; 0 where there is no error, infinite where the unit is 0."""
    if error == 0:
        return 0.0
    return error / unit if unit else math.inf


def _error_map(error: np.ndarray) -> tuple[tuple[float, ...], ...] | None:
    """The largest error of each block of a matrix; None where there is no matrix, or no error."""
    if error.ndim != 2 or not error.any():
        return None
    for axis, length in enumerate(error.shape):
        starts = np.arange(0, length, -(-length // _MAP_BLOCKS))
        error = np.maximum.reduceat(error, starts, axis=axis)
    return tuple(tuple(float(f"{entry:.3g}") for entry in row) for row in error)


_MAP_BLOCKS = 64


def _spacing(x: np.ndarray, dtype: Any) -> np.ndarray:
    """The distance between neighbouring numbers of `dtype` at the size of `x`."""
    info = jnp.finfo(dtype)
    _, exponent = np.frexp(np.abs(x))
    return np.maximum(np.ldexp(float(info.eps), exponent - 1), float(info.tiny) * float(info.eps))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine; 1 where both are zero, 0 where one is, NaN where one is not finite."""
    scale_a, scale_b = np.max(np.abs(a), initial=0), np.max(np.abs(b), initial=0)
    if not (np.isfinite(scale_a) and np.isfinite(scale_b)):
        return math.nan
    if scale_a == 0 or scale_b == 0:
        return 1.0 if scale_a == scale_b else 0.0
    # Scaled first: the squares of very small or large entries would not be finite.
    a, b = a / scale_a, b / scale_b
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@dataclass(frozen=True)
class Diagnosis:
    """What went wrong in a hand-derived gradient.

    Attributes:
        bug: the name of the mistake, such as `missing_activation_derivative`; or `unknown`.
        path: a leaf that it spoils.
        site: `file:line` of the loss where the mistake is made; "" where the source is not known.
        evidence: a sentence with numbers.
        confirmed: whether the mistake, made on purpose, gives the candidate's numbers in every
            leaf, to rounding.
    """

    bug: str
    path: str
    site: str
    evidence: str
    confirmed: bool


@dataclass(frozen=True)
class GradientReport:
    """The outcome of one comparison. `str()` of it is for a terminal, `to_dict()` for JSON.

    Attributes:
        verdict: `agree`, `manual_wrong`, `autodiff_wrong`, `manual_inaccurate` (right in float64,
            or an unstable formula), `kink`, `nonfinite`, `structure_mismatch` or `inconclusive`.
        loss: the loss of each side (for a rule: the sum of its outputs).
        leaves: every leaf of the gradient, in the order of the parameters.
        details: what was found, a sentence each, where the verdict is not `agree`.
        diagnosis: the bug, where manual is wrong; else None.
        dtype: the dtype asked for.
        jit: whether both sides ran under `jax.jit`.
        platform: `cpu`, `gpu` or `tpu`.
        device_kind: the device's own name.
        precision: the precision of matrix products.
        detectable: the smallest error in any one entry that this check is sure to catch.
    """

    verdict: str
    loss: Loss
    leaves: tuple[Leaf, ...]
    details: tuple[str, ...]
    diagnosis: Diagnosis | None
    dtype: str
    jit: bool
    platform: str
    device_kind: str
    precision: str
    detectable: float

    @property
    def agree(self) -> bool:
        """Whether the verdict is `agree`."""
        return self.verdict == "agree"

    @property
    def worst(self) -> Leaf | None:
        """The leaf with the largest error for its tolerance; None where there is no leaf."""
        return max(self.leaves, key=lambda leaf: leaf.excess, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON types; see `json_ready` for numbers that JSON does not have.

        What `str()` says beyond the numbers is there too: `meaning`, what the verdict means, and in
        the diagnosis `at`, its site as shown, `source`, the line there, and `advice`.
        """
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        own |= {"agree": self.agree, "loss": self.loss._asdict()}
        own["meaning"] = _MEANINGS[self.verdict]
        own["diagnosis"] = _diagnosis_dict(self.diagnosis) if self.diagnosis else None
        own["leaves"] = [asdict(leaf) for leaf in self.leaves]
        own["worst"] = self.worst.path if self.worst else None
        return json_ready(own)

    def __str__(self) -> str:
        how = f"{self.dtype}, {'jit' if self.jit else 'no jit'}, {self.platform}"
        lines = [
            f"{self.verdict.upper().replace('_', ' ')}  ({how}, matmul precision {self.precision})",
            _MEANINGS[self.verdict],
            "",
            f"loss: manual {self.loss.manual:.9g}, autodiff {self.loss.autodiff:.9g}, "
            f"float64 reference {self.loss.reference:.9g}",
            *_table(self.leaves, self.worst),
        ]
        if self.diagnosis is not None:
            lines += ["", *_diagnosis_lines(self.diagnosis)]
        if self.details:
            lines += ["", *_wrapped(self.details)]
        if self.agree:
            lines += ["", f"An error of {self.detectable:.1e} in any one entry would be caught."]
        return "\n".join(lines)


_MEANINGS = {
    "agree": "Manual is jax.grad to rounding.",
    "manual_wrong": "The hand-derived gradient is wrong.",
    "autodiff_wrong": "The hand-derived gradient is right; jax.grad of this loss is wrong.",
    "manual_inaccurate": "The mathematics is right; the formula loses digits.",
    "kink": "Both are right: the point sits on a kink, where each has its own convention.",
    "nonfinite": "There are NaN or infinite entries.",
    "structure_mismatch": "The gradient does not have the structure of the parameters.",
    "inconclusive": "They differ by more than rounding, and it cannot be told who is wrong.",
}

_ADVICE = {
    "missing_batch_mean": "divide by the batch size once, where the loss takes its mean",
    "extra_batch_mean": "divide by the batch size once only",
    "sign_flipped": "look for target − prediction, or a subtraction's second operand",
    "constant_factor": "look for a constant that the derivative brings down or the loss divides by",
    "missing_factor": "the derivative of a product keeps the other factor",
    "transposed": "dx = dy wᵀ and dw = xᵀ dy: check which factor is transposed",
    "bias_summed_over_features": "sum over the examples only: dz.sum(axis=0)",
    "bias_averaged": "sum over the examples; the mean is in dz already",
    "missing_activation_derivative": "multiply by f′(z) before going on",
    "activation_derivative_at_output": "f′ takes z, or is written as a function of a: not both",
    "activation_derivative_twice": "multiply by f′(z) once",
    "wrong_activation": "forward and backward use different activations",
    "softmax_wrong_axis": "normalise and sum over the classes, not over the examples",
    "diagonal_softmax_jacobian": "dz = p ⊙ (dp − Σ p dp): every class depends on every logit",
    "normalisation_terms_missing": "the mean and the variance depend on the input too",
    "scale_omitted": "the scale of the forward pass belongs in the backward pass",
    "path_cut": "the value is used on another path, whose derivative adds to this one",
    "overwritten_not_accumulated": "derivatives of several uses add up: += and not =",
    "time_steps_truncated": "carry dh back through every time step",
    "dropped_examples": "every example contributes, also those of the last short batch",
    "missing_weight_decay": "the penalty has a derivative too: λ w or 2 λ w",
    "mask_redrawn": "use the mask of the forward pass: the same key",
    "dropout_scale_missing": "the kept entries carry 1/keep in both passes",
    "kernel_flipped": "check where the kernel is turned by 180 degrees",
}


def _diagnosis_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        **asdict(diagnosis),
        "at": _shown(diagnosis.site),
        "source": _source(diagnosis.site),
        "advice": _ADVICE.get(diagnosis.bug, ""),
    }


def _diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    """Like a compiler's error: the bug, the line of source, the evidence, what to look at."""
    lines = [f"bug: {diagnosis.bug}" + (", confirmed" if diagnosis.confirmed else "")]
    if diagnosis.site:
        lines.append(f"  at {_shown(diagnosis.site)}")
    if source := _source(diagnosis.site):
        lines.append(f"    | {source}")
    lines += _wrapped([diagnosis.evidence])
    if diagnosis.bug in _ADVICE:
        lines.append(f"  look at: {_ADVICE[diagnosis.bug]}")
    return lines


def _shown(site: str) -> str:
    """The site as a person finds it: relative to the current folder where it lies below."""
    with contextlib.suppress(ValueError):
        return str(Path(site).relative_to(Path.cwd()))
    return site


def _source(site: str) -> str:
    """The line of source at `file:line`; "" if it cannot be read."""
    file, _, number = site.rpartition(":")
    return linecache.getline(file, int(number)).strip() if file else ""


def _wrapped(sentences: Sequence[str]) -> list[str]:
    """Sentences at 96 columns, the following lines of each indented."""
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            sentence, 96, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False,
            break_long_words=False,
        )
    ]  # fmt: skip


def json_ready(value: Any) -> Any:
    """`value` in JSON's types: tuples as lists, NaN and infinities as null with a flag beside.

    The flag of an entry `name` is the entry `name_nonfinite`: "nan", "inf" or "-inf".
    """
    if isinstance(value, dict):
        ready = {}
        for name, entry in value.items():
            ready[name] = json_ready(entry)
            if isinstance(entry, float) and not math.isfinite(entry):
                ready[f"{name}_nonfinite"] = str(float(entry))
        return ready
    if isinstance(value, list | tuple):
        return [json_ready(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _table(leaves: Sequence[Leaf], worst: Leaf | None) -> list[str]:
    rows = [("leaf", "shape", "dtype", "max error", "noise", "error/noise", "tolerance", "")]
    for leaf in leaves:
        mark = "" if leaf.agrees else "  WRONG"
        rows.append(
            (
                leaf.path,
                "×".join(map(str, leaf.shape)) or "scalar",
                leaf.dtype,
                f"{leaf.max_abs:.1e}",
                f"{leaf.noise:.1e}",
                f"{leaf.ratio:.2g}",
                f"{leaf.tolerance:.1e}",
                f"{mark}  ← worst" if leaf is worst else mark,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    left = [row[:3] for row in rows]
    return [
        "  ".join(
            [*(c.ljust(w) for c, w in zip(start, widths[:3], strict=True))]
            + [c.rjust(w) for c, w in zip(row[3:7], widths[3:], strict=True)]
        )
        + row[7]
        for start, row in zip(left, rows, strict=True)
    ]
