"""Writes the results of a training to a folder, as tables and pictures."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare.files import replacing
from compare.report.plots import training as training_plots

__all__ = ["write"]


def write(folder: Path, results: Sequence[dict[str, Any]]) -> list[str]:
    """Writes `history-METHOD.csv` and each picture that the results have data for, as PNG.

    Args:
        folder: an existing folder.
        results: those of `train`, one a side, as in its JSON.

    Returns:
        The names of the files.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: a file cannot be written.
    """
    tables, pictures = {}, {"curves.png": training_plots.curves(results)}
    for result in results:
        method = result["method"]
        tables[f"history-{method}.csv"] = result["history"]
        pictures[f"confusion-{method}.png"] = training_plots.confusion(result)
        pictures[f"gradient-norms-{method}.png"] = training_plots.gradient_norms(result)
        if result["decision_boundary"] is not None:
            pictures[f"boundary-{method}.png"] = training_plots.boundary(result)
        if result["parting"] is not None:
            pictures["parting.png"] = training_plots.parting(result)
    for name, rows in tables.items():
        _write_csv(folder / name, rows)
    for name, figure in pictures.items():
        with replacing(folder / name) as file:
            figure.savefig(file, format="png", dpi=150)
    return [*tables, *pictures]


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows that share their names as a table, the names in its first line.

    Raises:
        OSError: the file cannot be written; what it held before is untouched.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())
