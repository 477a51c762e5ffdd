"""The section on checks: one row for each check of a test session."""

from collections.abc import Sequence
from typing import Any

from compare.report.html.values import number, results_of, subject

__all__ = ["view"]


def view(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collects a row for each check that a test made: those that disagree first."""
    rows = [row for row in results_of(documents, "check") if row.get("test")]
    return [_check(row) for row in sorted(rows, key=lambda row: row["agree"])]


def _check(row: dict[str, Any]) -> dict[str, Any]:
    worst = next((leaf for leaf in row["leaves"] if leaf["path"] == row["worst"]), None)
    return {
        "test": row["test"],
        "name": subject(row),
        "how": f"{row['dtype']} {'jit' if row['jit'] else 'no jit'}",
        "seed": row["seed"],
        "seconds": f"{row['seconds']:.2f}",
        "agree": row["agree"],
        "verdict": row["verdict"].replace("_", " "),
        "worst": row["worst"] or "–",
        "error": number(worst, "max_abs") if worst else "–",
        "detectable": number(row, "detectable"),
    }
