"""What a comparison of two gradients found, as data and as text."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from compare.checker.leaf import Leaf, Loss
from compare.diagnosis.case import Diagnosis, Line
from compare.diagnosis.catalogue import named_mistake
from compare.diagnosis.shown_listing import listing_lines
from compare.escapes import escaped
from compare.json_ready import json_ready
from compare.sites import shown, source

__all__ = ["GradientReport"]


@dataclass(frozen=True)
class GradientReport:
    """The outcome of one comparison. `str()` of it is for a terminal, `to_dict()` for JSON.

    Attributes:
        verdict: `agree`, `manual_wrong`, `loss_differs`, `autodiff_wrong`, `manual_inaccurate`
            (right in float64, or an unstable formula), `kink`, `nonfinite`, `structure_mismatch` or
            `inconclusive`.
        loss: the loss of each side (for a rule: the sum of its outputs).
        leaves: every leaf of the gradient, in the order of the parameters.
        details: what was found, and what is to be known of an agreement, a sentence each.
        diagnosis: the bug, where manual is wrong; else None.
        dtype: the dtype asked for.
        jit: whether manual ran under `jax.jit`; jax.grad always does.
        platform: `cpu`, `gpu` or `tpu`.
        device_kind: the device's own name.
        precision: the precision of matrix products.
        detectable: the smallest error in any one entry that this check is sure to catch.
        not_compared: every leaf that was not compared, and why.
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
    not_compared: tuple[str, ...] = ()

    @property
    def agree(self) -> bool:
        """Whether the verdict is `agree`."""
        return self.verdict == "agree"

    @property
    def listing(self) -> tuple[Line, ...]:
        """The lines of the hand-derived side, with what each computes; () where it is not wrong."""
        return self.diagnosis.listing if self.diagnosis else ()

    @property
    def worst(self) -> Leaf | None:
        """The leaf with the largest error for its tolerance; None where there is no leaf."""
        return max(self.leaves, key=lambda leaf: leaf.excess, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON types; see `json_ready` for numbers that JSON does not have.

        What `str()` says beyond the numbers is there too: `meaning`, what the verdict means, and in
        the diagnosis `at`, its site as shown, `source`, the line there, `advice`, and `lines`, the
        listing near the suspects.
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
        if self.not_compared:
            lines += ["", *_wrapped([f"not compared: {', '.join(self.not_compared)}"])]
        if self.agree:
            lines += ["", f"An error of {self.detectable:.1e} in any one entry would be caught."]
        # Names and lines of source are a person's own, and may hold what moves a cursor.
        return "\n".join(escaped(line.expandtabs(4)) for line in lines)


_MEANINGS = {
    "agree": "Manual is jax.grad to rounding.",
    "manual_wrong": "The hand-derived gradient is wrong.",
    "loss_differs": "The forward passes differ; the hand-derived gradient is right for its own.",
    "autodiff_wrong": "The hand-derived gradient is right; jax.grad of this loss is wrong.",
    "manual_inaccurate": "The mathematics is right; the formula loses digits.",
    "kink": "Both are right: the point sits on a kink, where each has its own convention.",
    "nonfinite": "There are NaN or infinite entries.",
    "structure_mismatch": "The gradient does not have the structure of the parameters.",
    "inconclusive": "They differ by more than rounding, and it cannot be told who is wrong.",
}


def _diagnosis_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    mistake = named_mistake(diagnosis.bug)
    return {
        **asdict(diagnosis),
        "at": shown(diagnosis.site),
        "source": source(diagnosis.site),
        "advice": mistake.look_at if mistake else "",
        "mistake": mistake.meaning if mistake else "",
        "lines": listing_lines(diagnosis.listing, diagnosis.suspects),
    }


def _diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    """Like a compiler's error: the bug, the line of source, the evidence, what to look at."""
    names = " or ".join((diagnosis.bug, *diagnosis.also))
    lines = [f"bug: {names}" + (", confirmed" if diagnosis.confirmed else "")]
    if diagnosis.listing:
        lines += ["", *listing_lines(diagnosis.listing, diagnosis.suspects), ""]
    if diagnosis.site:
        lines.append(f"  line of the loss: {shown(diagnosis.site)}")
    if line := source(diagnosis.site):
        lines.append(f"    | {line}")
    lines += _wrapped([diagnosis.evidence])
    if mistake := named_mistake(diagnosis.bug):
        lines.append(f"  look at: {mistake.look_at}")
    return lines


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
