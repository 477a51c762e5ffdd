"""Gradients: the leaves of every comparison, and what is wrong where two do not agree."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from compare.report.html import pictures
from compare.report.html.values import grouped, number, results_of, shape, value

__all__ = ["view"]

Row = dict[str, Any]


class Bar(NamedTuple):
    """An error over the noise, on a log scale that all leaves of a table share.

    Attributes:
        length: of the bar, in percent.
        tolerance: where its mark is, in percent.
        text: the same in words.
    """

    length: float
    tolerance: float
    text: str


def view(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One for each problem and model: comparisons as columns, leaves as rows."""
    rows = results_of(documents, "gradients")
    key = ("problem", "model", "settings", "dataset", "batch")
    groups = grouped(rows, key=lambda row: tuple(row.get(name) for name in key))
    return [_comparisons(own, i) for i, own in enumerate(groups)]


def _comparisons(rows: list[Row], place: int) -> dict[str, Any]:
    first = rows[0]
    highest = _highest(rows)
    about = f"{first['batch']} rows of " if first.get("batch") else ""
    return {
        "title": f"{first['problem']} · {first['model']}",
        "about": f"{first.get('settings', '')}, {about}{first['dataset']}".lstrip(", "),
        "agree": all(row["agree"] for row in rows),
        "columns": [_column(row) for row in rows],
        "leaves": [_leaf(path, rows, highest) for path in _paths(rows)],
        "numbers": [{**_column(row), "leaves": [_numbers(leaf, row) for leaf in row["leaves"]]}
                    for row in rows],
        "findings": _findings(rows, place),
    }  # fmt: skip


def _column(row: Row) -> dict[str, Any]:
    return {
        "dtype": row["dtype"],
        "mode": "jit" if row["jit"] else "no jit",
        "verdict": row["verdict"].replace("_", " "),
        "agree": row["agree"],
        "loss": number(row["loss"], "manual", ".6g"),
    }


def _paths(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(leaf["path"] for row in rows for leaf in row["leaves"]))


def _leaf(path: str, rows: list[Row], highest: float) -> dict[str, Any]:
    own = [next((leaf for leaf in row["leaves"] if leaf["path"] == path), None) for row in rows]
    cells = [
        None if leaf is None else _cell(leaf, row, highest)
        for leaf, row in zip(own, rows, strict=True)
    ]
    sizes = next(leaf["shape"] for leaf in own if leaf)
    return {
        "path": path, "shape": shape(sizes), "size": math.prod(sizes), "cells": cells,
        "wrong": any(cell and cell["wrong"] for cell in cells),
    }  # fmt: skip


def _cell(leaf: Row, row: Row, highest: float) -> dict[str, Any]:
    return {
        "error": number(leaf, "max_abs"),
        "sort": leaf["max_abs"] if leaf["max_abs"] is not None else 1e300,
        "wrong": _wrong(leaf),
        "worst": leaf["path"] == row["worst"],
        "bar": _bar(leaf, highest),
    }


def _wrong(leaf: Row) -> bool:
    """Nothing is judged where a side is not finite or misshapen; then what has no error is not."""
    judged = leaf["noise"] is not None
    return not leaf["agrees"] if judged else leaf["max_abs"] is None


_LOWEST, _SHORTEST = -3.0, 2.0
"""The power of ten at which a bar begins, and the length of one that is below it, in percent."""


def _highest(rows: list[Row]) -> float:
    """The power of ten at the end of the scale: beyond every tolerance and every finite error."""
    ratios = [value(leaf, "ratio") for row in rows for leaf in row["leaves"]]
    return max(2.0, *(math.ceil(math.log10(r)) for r in ratios if 0 < r < math.inf), 0.0)


def _bar(leaf: Row, highest: float) -> Bar | None:
    """None where nothing is measured: a leaf that is missing or of another shape."""
    noise, tolerance = value(leaf, "noise"), value(leaf, "tolerance")
    if not (0 < noise < math.inf and tolerance > 0):
        return None
    ratio = value(leaf, "ratio")
    text = (
        f"error {number(leaf, 'ratio', '.2g')} times the noise, "
        f"tolerance {tolerance / noise:.3g} times"
    )
    return Bar(_place(ratio, highest), _place(tolerance / noise, highest), text)


def _place(ratio: float, highest: float) -> float:
    """How far along the scale, in percent: 0 for no error, 100 for one that is no number."""
    if ratio == 0 or not ratio < math.inf:
        return 0.0 if ratio == 0 else 100.0
    share = (math.log10(ratio) - _LOWEST) / (highest - _LOWEST)
    return round(min(100.0, max(_SHORTEST, 100 * share)), 2)


def _numbers(leaf: Row, row: Row) -> dict[str, Any]:
    """Everything that is known of one leaf, for who asks."""
    columns = {
        "max_abs": ".2e", "max_rel": ".1e", "max_ulp": ".3g", "noise": ".1e", "ratio": ".2g",
        "tolerance": ".1e", "cosine": ".6g", "manual": ".9g", "reference": ".9g",
    }  # fmt: skip
    return {
        "path": leaf["path"],
        "dtype": leaf["dtype"],
        "wrong": _wrong(leaf),
        "worst": leaf["path"] == row["worst"],
        "index": "–" if leaf["index"] is None else ", ".join(map(str, leaf["index"])),
        **{name: number(leaf, name, form) for name, form in columns.items()},
    }


def _findings(rows: list[Row], place: int) -> list[dict[str, Any]]:
    """One for each thing that is wrong: comparisons with one verdict and one bug share it."""
    wrong = grouped((row for row in rows if not row["agree"]), key=_finding_key)
    return [_finding(own, f"{place}-{i}") for i, own in enumerate(wrong)]


def _finding_key(row: Row) -> Any:
    found = row["diagnosis"] or {}
    return row["verdict"], found.get("bug"), found.get("site")


def _complete(diagnosis: Row) -> Row:
    """With what files of an earlier version do not have."""
    return {"at": diagnosis["site"], "source": "", "advice": "", **diagnosis}


def _finding(rows: list[Row], name: str) -> dict[str, Any]:
    first = rows[0]
    mapped = [leaf for leaf in first["leaves"] if _wrong(leaf) and leaf.get("error_map")]
    return {
        "verdict": first["verdict"].replace("_", " "),
        "meaning": first.get("meaning", ""),
        "where": [f"{row['dtype']}, {'jit' if row['jit'] else 'no jit'}" for row in rows],
        "platform": f"{first['platform']}, matrix products {first['precision']}",
        "diagnosis": first["diagnosis"] and _complete(first["diagnosis"]),
        "details": first["details"],
        "maps": [
            {
                "path": leaf["path"],
                "shape": shape(leaf["shape"]),
                "error": number(leaf, "max_abs"),
                "nonfinite": leaf["max_abs"] is None,
                "svg": pictures.inline(pictures.error_map(leaf), f"map-{name}-{i}"),
            }
            for i, leaf in enumerate(mapped)
        ],
    }
