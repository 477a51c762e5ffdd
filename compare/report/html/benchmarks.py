"""The section on benchmarks: ratios as bars and in a table, and absolute numbers."""

from collections.abc import Sequence
from typing import Any

from compare.report.html.pictures import inline
from compare.report.html.values import grouped, number, results_of
from compare.report.plots.benchmarks import chart

__all__ = ["view"]

Row = dict[str, Any]

_ENGINES = {
    "manual": "by hand", "autodiff": "jax.grad", "autodiff_same_forward": "jax.grad, same forward",
    "torch": "PyTorch", "numpy": "NumPy", "scalar": "the scalar engine",
}  # fmt: skip
_OTHERS = [engine for engine in _ENGINES if engine != "manual"]


def view(documents: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Collects the chart, the ratios of each subject to every engine, and the absolute numbers."""
    rows = results_of(documents, "bench")
    if not rows:
        return None
    found = {row["engine"] for row in rows}
    engines = [engine for engine in _OTHERS if engine in found]
    subjects = grouped(rows, key=lambda row: (row["model"], row["batch"]))
    return {
        "chart": inline(chart(rows), "bench"),
        "engines": [_ENGINES[engine] for engine in engines],
        "subjects": [_subject(own, engines) for own in subjects],
        "numbers": [_numbers(row) for row in rows],
    }


def _subject(rows: list[Row], engines: list[str]) -> dict[str, Any]:
    by_engine = {row["engine"]: row for row in rows}
    ratios = [_ratio(by_engine.get(engine)) for engine in engines]
    memory = by_engine.get("autodiff", {}).get("temp_ratio")
    return {
        "name": rows[0]["model"], "size": rows[0]["batch"], "ratios": ratios,
        "memory": "–" if memory is None else f"{memory:.2f}", "memory_sort": memory,
    }  # fmt: skip


def _ratio(row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "ratio": row["ratio"],
        "text": f"{row['ratio']:.2f}" if row["ratio"] >= 0.1 else f"{row['ratio']:.1g}",
        "spread": f"±{(row['ratio_high'] - row['ratio_low']) / 2:.2f}",
        "slower": row["ratio_low"] > 1,
        "faster": row["ratio_high"] < 1,
    }


def _numbers(row: Row) -> dict[str, Any]:
    kibibytes = {"temp": None if row.get("temp_bytes") is None else row["temp_bytes"] / 1024}
    return {
        "name": row["model"],
        "size": row["batch"],
        "engine": _ENGINES.get(row["engine"], row["engine"]),
        "median": number(row, "median_ms", ".3f"),
        "least": number(row, "min_ms", ".3f"),
        "compile": number(row, "compile_ms", ".0f"),
        "memory": number(kibibytes, "temp", ",.0f"),
        "rounds": row.get("rounds", "–"),
    }
