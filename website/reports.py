"""Writes the reports of the named mistakes to docs/reports/: make reports."""

import jax
import numpy as np

from compare import check_gradients
from compare.checker.gradient_report import GradientReport
from compare.diagnosis.catalogue import CATALOGUE
from compare.mutants.gallery import mutants
from compare.mutants.mutant import Mutant
from website.mistake_pages import REPORTS

__all__ = ["report_on"]


def report_on(mutant: Mutant) -> GradientReport:
    """Checks a wrong gradient as its page shows it: in float64."""
    return check_gradients(mutant.candidate, mutant.loss, *mutant.make(0), dtype=np.float64)


def _write_all() -> None:
    jax.config.update("jax_disable_most_optimizations", True)
    shown = {mutant.name: mutant for mutant in mutants()}
    REPORTS.mkdir(exist_ok=True)
    for old in REPORTS.glob("*.txt"):
        old.unlink()
    for name, mistake in CATALOGUE.items():
        text = f"{report_on(shown[mistake.mutant])}\n"
        (REPORTS / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write_all()
