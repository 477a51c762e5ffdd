"""What a comparison of two gradients found, as data and as text."""

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from compare.checker.leaf import Leaf, Loss
from compare.checker.reporting.text import (
    details_lines,
    diagnosis_lines,
    loss_lines,
    table_lines,
    wrapped,
)
from compare.checker.reporting.verdicts import ANOTHER_LOSS, MEANINGS, Verdict
from compare.diagnosis.case import Diagnosis, Line
from compare.diagnosis.catalogue import named_mistake
from compare.diagnosis.shown_listing import listing_lines
from compare.escapes import escaped
from compare.json_ready import json_ready
from compare.report import checks
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
        name: of the function that was checked; "" where it has none.
        derivations: the docstrings of what was checked, as in the JSON of a command: `rule`, its
            name, `about`, `fwd` and `bwd`.
    """

    verdict: Verdict
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
    name: str = ""
    derivations: tuple[dict[str, str], ...] = field(default=(), repr=False)

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
        """The leaf that is furthest off for its tolerance; None where there is no leaf.

        One that is right is the worst only where none is wrong.
        """

        def rank(leaf: Leaf) -> tuple[bool, float]:
            return not leaf.agrees, 0.0 if math.isnan(leaf.excess) else leaf.excess

        return max(self.leaves, key=rank, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON types; see `json_ready` for numbers that JSON does not have.

        What `str()` says beyond the numbers is there too: `meaning`, what the verdict means, and in
        the diagnosis `at`, its site as shown, `source`, the line there, `advice`, and `lines`, the
        listing near the suspects. `handgrad report --from` takes it, written as JSON. The
        derivations are not in it: the documents of commands have each of them once.
        """
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        del own["derivations"]
        own |= {"agree": self.agree, "loss": self.loss._asdict()}
        own["meaning"] = MEANINGS[self.verdict]
        own["diagnosis"] = _diagnosis_dict(self.diagnosis) if self.diagnosis else None
        own["leaves"] = [asdict(leaf) for leaf in self.leaves]
        own["worst"] = self.worst.path if self.worst else None
        return json_ready(own)

    @property
    def headline(self) -> str:
        """The verdict, the worst leaf, and the line and the name of the mistake, in one line."""
        text = self.verdict.upper().replace("_", " ")
        if self.agree:
            return text
        if self.worst:
            text += f" in {self.worst.path}"
        if self.diagnosis is None:
            return text
        suspects, site = self.diagnosis.suspects, self.diagnosis.site
        where = shown(suspects[0]) if suspects else site and f"a derivative of {shown(site)}"
        bug = "" if self.diagnosis.bug == "unknown" else self.diagnosis.bug
        text += (f", at {where}" if where else "") + (f": {bug}" if bug else "")
        return escaped(text)

    def save(self, file: str | Path) -> None:
        """Writes the report to a file, whole or not at all.

        Args:
            file: its name ends with .html for a page, or with .json for what
                `handgrad report --from` takes.

        Raises:
            ValueError: it has another ending.
            ImportError: a page needs Jinja2, and matplotlib where a matrix is wrong.
            OSError: the file cannot be written; what it held before is untouched.
        """
        checks.save(Path(file), [self.to_dict()], self.derivations)

    def __str__(self) -> str:
        return self.text()

    def text(self, *, verbose: bool = False) -> str:
        """Writes the report for a terminal of 80 columns.

        Args:
            verbose: whether to list every line of the hand-derived side and every wrong leaf; else
                the lines near the suspects, and the leaves that are most wrong.
        """
        how = f"{self.dtype}, {'jit' if self.jit else 'no jit'}, {self.platform}"
        lines = [
            f"{self.verdict.upper().replace('_', ' ')}  ({how}, matmul precision {self.precision})",
            *wrapped(MEANINGS[self.verdict], ""),
            *(line for told in self.details if told == ANOTHER_LOSS for line in wrapped(told, "")),
            "",
            *loss_lines(self.loss),
            *table_lines(self.leaves, self.worst),
        ]
        if self.diagnosis is not None:
            lines += ["", *diagnosis_lines(self.diagnosis, verbose=verbose)]
        if details := [told for told in self.details if told != ANOTHER_LOSS]:
            lines += ["", *details_lines(details, self.leaves, verbose=verbose)]
        if self.not_compared:
            lines += ["", *wrapped(f"not compared: {', '.join(self.not_compared)}")]
        if self.agree:
            lines += ["", f"An error of {self.detectable:.1e} in any one entry would be caught."]
        # Names and lines of source are a person's own, and may hold what moves a cursor.
        return "\n".join(escaped(line.expandtabs(4)) for line in lines)

    def _repr_html_(self) -> str | None:
        """The report for a notebook; None, and so `str()`, where Jinja2 is not installed."""
        return checks.fragment([self.to_dict()], self.derivations)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The report for IPython's console."""
        printer.text("GradientReport(...)" if cycle else str(self))


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
