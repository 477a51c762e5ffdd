"""The section on training: curves, partings, confusions and gradient norms."""

from collections.abc import Sequence
from typing import Any

from compare.report.html.pictures import image, inline
from compare.report.html.values import grouped, number, percent, results_of
from compare.report.html.verdict import PARTINGS, leap_text
from compare.report.plots import training as training_plots

__all__ = ["view"]

Row = dict[str, Any]

_SETTINGS = (
    "optimizer", "learning_rate", "schedule", "clip", "weight_decay", "batch", "epochs", "seed",
    "dtype", "devices",
)  # fmt: skip


def view(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collects a run for each problem, model and settings, with the sides that were trained."""
    key = ("problem", "model", "settings", "dataset", *_SETTINGS)
    rows = results_of(documents, "train")
    groups = grouped(rows, key=lambda row: tuple(row.get(name) for name in key))
    return [_run(group, f"train-{i}") for i, group in enumerate(groups)]


def _run(results: list[Row], name: str) -> dict[str, Any]:
    # Pictures that are alike on both sides are shown once: by hand, if that side was trained.
    shown = next((row for row in results if row["method"] == "manual"), results[0])
    return {
        "title": f"{shown['problem']} · {shown['model']}",
        "about": f"{shown.get('settings', '')}, {shown['dataset']}".lstrip(", "),
        "settings": [
            (n.replace("_", " "), shown[n]) for n in _SETTINGS if shown.get(n) is not None
        ],
        "sides": [_side(row) for row in results],
        "side": "by hand" if shown["method"] == "manual" else "jax.grad",
        "curves": inline(training_plots.curves(results), f"{name}-curves"),
        "confusion": _if(shown, "confusion", training_plots.confusion, name),
        "classes": _classes(shown),
        "pairs": _pairs(shown),
        "norms": _if(shown, "gradient_norms", training_plots.gradient_norms, name),
        "boundary": _if(shown, "decision_boundary", training_plots.boundary, name),
        "parting": _parting(results, name),
    }


def _if(result: Row, what: str, draw: Any, name: str) -> str | None:
    """Draws a picture; None if the result has not the entry `what` that it shows."""
    return inline(draw(result), f"{name}-{what}") if result.get(what) else None


def _side(result: Row) -> dict[str, Any]:
    last = result["history"][-1] if result["history"] else {}
    return {
        "method": "by hand" if result["method"] == "manual" else "jax.grad",
        "test_accuracy": percent(last.get("test_accuracy")),
        "train_accuracy": percent(last.get("train_accuracy")),
        "test_loss": number(last, "test_loss", ".4g"),
        "train_loss": number(last, "train_loss", ".4g"),
        "seconds": number(result, "seconds", ".1f"),
        "compile": number(result, "compile_seconds", ".1f"),
        "rate": number(result, "samples_per_second", ",.0f"),
        "to_98": number(result, "seconds_to_98", ".1f"),
    }


def _classes(result: Row) -> list[dict[str, str]]:
    return [
        {"class": str(i), "precision": percent(p), "recall": percent(r)}
        for i, (p, r) in enumerate(
            zip(result.get("precision") or [], result.get("recall") or [], strict=True)
        )
    ]


def _pairs(result: Row) -> list[dict[str, Any]]:
    return [
        {
            "truth": pair["truth"],
            "predicted": pair["predicted"],
            "count": pair["count"],
            "images": [image(rows) for rows in pair["images"]],
        }
        for pair in result.get("confused_pairs") or []
    ]


def _parting(results: list[Row], name: str) -> dict[str, Any] | None:
    result = next((row for row in results if row.get("parting")), None)
    if result is None:
        return None
    found = result["parting"]
    same = found["identical_steps"]
    where = "They differ from the first step." if not same else f"Identical steps: {same}."
    if leap := leap_text(found):
        where += f" {leap}"
    elif found["verdict"] != "identical":
        where += (
            f" Measured by what is allowed, the distance is largest at step {found['step']}, in "
            f"{found['leaf']}: {number(found, 'excess', '.2g')} of it."
        )
    return {
        "bad": found["verdict"] == "defect",
        "meaning": PARTINGS[found["verdict"]],
        "where": where,
        "svg": inline(training_plots.parting(result), f"{name}-parting"),
    }
