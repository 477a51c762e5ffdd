"""The section on gradients: the leaves of every comparison, and findings where one disagrees."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from compare.report.html import pictures
from compare.report.html.values import grouped, number, results_of, shape, subject, value
from compare.tolerance import is_least_noise

__all__ = ["view"]

Row = dict[str, Any]


class Bar(NamedTuple):
    """A bar for an error over the noise, on a log scale that all leaves of a table share.

    Attributes:
        length: the length of the bar, in percent.
        tolerance: the place of the mark of the tolerance, in percent.
        text: the error and the tolerance in words.
    """

    length: float
    tolerance: float
    text: str


def view(documents: Sequence[dict[str, Any]], place: str = "") -> list[dict[str, Any]]:
    """Collects a table for each subject: comparisons as columns, leaves as rows.

    Args:
        documents: the JSON objects of commands.
        place: what tells the names of these pictures from others on the same page.
    """
    rows = results_of(documents, "gradients", "check")
    key = ("problem", "model", "settings", "dataset", "batch", "name")
    groups = grouped(rows, key=lambda row: tuple(row.get(name) for name in key))
    return [_comparisons(group, f"{place}{i}") for i, group in enumerate(groups)]


_MOST = 6
"""How many columns a table has at most."""


def _comparisons(every: list[Row], place: str) -> dict[str, Any]:
    first, rows = every[0], every
    if len(every) > _MOST:
        rows = sorted(every, key=lambda row: (row["agree"], -_excess(row)))[:_MOST]
    highest = _highest(rows)
    about = f"{first['batch']} rows of " if first.get("batch") else ""
    left = [row for row in every if row not in rows]
    return {
        "title": subject(first).replace(" ", " · ", 1) if first.get("problem") else subject(first),
        "about": f"{first.get('settings') or ''}, {about}{first.get('dataset') or ''}".strip(", "),
        "left": f"and {len(left)} more, {sum(row['agree'] for row in left)} of which agree; these "
                "are the nearest to their tolerance" if left else "",
        "agree": all(row["agree"] for row in every),
        "columns": [_column(row) for row in rows],
        "leaves": [_leaf(path, rows, highest) for path in _paths(rows)],
        "numbers": [{**_column(row), "leaves": [_numbers(leaf, row) for leaf in row["leaves"]]}
                    for row in rows],
        "findings": _findings(every, place),
    }  # fmt: skip


def _excess(row: Row) -> float:
    """Returns the largest error of a leaf over its tolerance; infinite if one is not a number."""
    shares = [value(leaf, "max_abs") / (value(leaf, "tolerance") or 1.0) for leaf in row["leaves"]]
    return max((math.inf if math.isnan(share) else share for share in shares), default=0.0)


def _column(row: Row) -> dict[str, Any]:
    return {
        "dtype": row["dtype"],
        "mode": ("jit" if row["jit"] else "no jit")
        + (f" seed {row['seed']}" if row.get("test") else ""),
        "verdict": row["verdict"].replace("_", " "),
        "agree": row["agree"],
        "loss": number(row["loss"], "manual", ".6g"),
    }


def _mode(row: Row) -> str:
    return "jit" if row["jit"] else "no jit"


def _seed(row: Row) -> str:
    """Tells apart the checks of one function in a test session."""
    return f" seed {row['seed']}" if row.get("test") else ""


def _paths(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(leaf["path"] for row in rows for leaf in row["leaves"]))


def _leaf(path: str, rows: list[Row], highest: float) -> dict[str, Any]:
    leaves = [next((leaf for leaf in row["leaves"] if leaf["path"] == path), None) for row in rows]
    cells = [
        None if leaf is None else _cell(leaf, row, highest)
        for leaf, row in zip(leaves, rows, strict=True)
    ]
    sizes = next(leaf["shape"] for leaf in leaves if leaf)
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
    """Tells whether a leaf is wrong.

    No leaf is judged where a side is not finite or has another structure. Then those leaves are
    wrong for which no error could be computed.
    """
    judged = leaf["noise"] is not None
    return not leaf["agrees"] if judged else leaf["max_abs"] is None


_LOWEST, _SHORTEST = -3.0, 2.0
"""The power of ten at which the scale begins; the length of a bar below it, in percent."""


def _highest(rows: list[Row]) -> float:
    """Returns the power of ten at which the scale ends: above any tolerance and finite error."""
    ratios = [value(leaf, "ratio") for row in rows for leaf in row["leaves"]]
    return max(2.0, *(math.ceil(math.log10(r)) for r in ratios if 0 < r < math.inf), 0.0)


def _bar(leaf: Row, highest: float) -> Bar | None:
    """Returns the bar of a leaf; None for a leaf that is missing or has another shape."""
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
    """Returns a place on the scale in percent: 0 for no error, 100 for NaN or infinity."""
    if ratio == 0 or not ratio < math.inf:
        return 0.0 if ratio == 0 else 100.0
    share = (math.log10(ratio) - _LOWEST) / (highest - _LOWEST)
    return round(min(100.0, max(_SHORTEST, 100 * share)), 2)


def _numbers(leaf: Row, row: Row) -> dict[str, Any]:
    """Collects everything that is known of one leaf."""
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
        **({"noise": "0", "tolerance": "0"} if is_least_noise(value(leaf, "noise")) else {}),
    }


def _findings(rows: list[Row], place: str) -> list[dict[str, Any]]:
    """Collects what is wrong; comparisons with the same verdict, bug and site share a finding."""
    wrong = grouped((row for row in rows if not row["agree"]), key=_finding_key)
    return [_finding(alike, f"{place}-{i}") for i, alike in enumerate(wrong)]


def _finding_key(row: Row) -> Any:
    found = row["diagnosis"] or {}
    return row["verdict"], found.get("bug"), found.get("site")


def _complete(diagnosis: Row) -> Row:
    """Fills in the entries that files of an earlier version do not have."""
    missing = {"at": diagnosis["site"], "source": "", "advice": "", "also": [], "lines": []}
    return {**missing, **diagnosis}


def _finding(rows: list[Row], name: str) -> dict[str, Any]:
    first = rows[0]
    mapped = [leaf for leaf in first["leaves"] if _wrong(leaf) and leaf.get("error_map")]
    return {
        "verdict": first["verdict"].replace("_", " "),
        "meaning": first.get("meaning", ""),
        "where": list(dict.fromkeys(f"{row['dtype']}, {_mode(row)}" for row in rows)),
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
