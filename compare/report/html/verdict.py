"""The top of the page: what came out, for what, where, and how to get it again."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from compare.report.html.values import grouped, held, joined, number, percent, value

__all__ = ["PARTINGS", "Headline", "facts", "headlines", "origins"]

Document = dict[str, Any]


class Headline(NamedTuple):
    """What one document comes to.

    Attributes:
        command: that wrote it.
        state: `good`, `bad` or `plain`.
        word: the verdict in a word, as the command prints it.
        text: what it is about.
        note: what else to know; or "".
    """

    command: str
    state: str
    word: str
    text: str
    note: str = ""


def headlines(documents: Sequence[Document]) -> list[Headline]:
    """One for each document: what is bad first, then the gradients."""
    found = [_HEADLINES[own["command"]](own["results"]) for own in documents]
    return sorted(found, key=lambda own: (own.state != "bad", own.command != "gradients"))


def _gradients(results: list[dict[str, Any]]) -> Headline:
    wrong = [row for row in results if not row["agree"]]
    shown = wrong or results
    about = joined(f"{row['problem']} {row['model']}" for row in shown)
    text = f"{len(shown)} of {len(results)} comparisons, on {about}"
    if wrong:
        meanings = " ".join(dict.fromkeys(row.get("meaning") or row["verdict"] for row in wrong))
        return Headline("gradients", "bad", "DISAGREE", text, meanings)
    least = max(results, key=lambda row: value(row, "detectable"))
    note = (
        f"An error of {number(least, 'detectable', '.0e')} in any one entry would have been caught."
    )
    return Headline("gradients", "good", "AGREE", text, note)


PARTINGS = {
    "identical": "Both trajectories are identical, bit for bit.",
    "chaos": "The two trajectories part by rounding alone, as jax.grad's own do from one ulp away.",
    "defect": "The two trajectories part by more than rounding explains.",
}
"""What the verdict on two trainings in step means."""


def _train(results: list[dict[str, Any]]) -> Headline:
    accuracies = [
        f"{own[0]['problem']} {own[0]['model']} " + joined(_accuracy(row) for row in own)
        for own in grouped(results, key=lambda row: (row["problem"], row["model"]))
    ]
    verdicts = [row["parting"]["verdict"] for row in results if row.get("parting")]
    note = " ".join(dict.fromkeys(PARTINGS[verdict] for verdict in verdicts))
    text = f"test accuracy of {joined(accuracies)}"
    if "defect" in verdicts:
        return Headline("train", "bad", "PARTED", text, note)
    return Headline("train", "good" if verdicts else "plain", "TRAINED", text, note)


def _accuracy(result: dict[str, Any]) -> str:
    """At the end; there is none where training stopped in its first epoch."""
    return percent(result["history"][-1]["test_accuracy"]) if result["history"] else "–"


def _bench(results: list[dict[str, Any]]) -> Headline:
    rows = [row for row in results if row["engine"] == "autodiff"]
    faster = sum(row["ratio_high"] < 1 for row in rows)
    count = "1 subject" if len(rows) == 1 else f"{len(rows)} subjects"
    text = f"{count}; faster than jax.grad by more than the spread in {faster}"
    return Headline("bench", "plain", "MEASURED", text)


def _articles(results: list[dict[str, Any]]) -> Headline:
    return Headline("articles", "plain", "MEASURED", f"{held(results)} published claims hold")


def _mutants(results: list[dict[str, Any]]) -> Headline:
    detected = sum(bool(row["detected"]) for row in results)
    misnamed = sum(row["right"] is False and row["named"] is not None for row in results)
    done = detected == len(results) and not misnamed
    text = f"{detected} of {len(results)} wrong gradients"
    if misnamed:
        text += f", {misnamed} of them under a wrong name"
    return Headline("mutants", "good" if done else "bad", "DETECTED", text)


_HEADLINES: dict[str, Callable[[list[dict[str, Any]]], Headline]] = {
    "gradients": _gradients, "train": _train, "bench": _bench, "articles": _articles,
    "mutants": _mutants,
}  # fmt: skip


def facts(documents: Sequence[Document]) -> list[tuple[str, str]]:
    """Device, dtype, precision, data and versions of all documents, each value once."""
    rows = [row for own in documents for row in own["results"]]
    where = [own["environment"] for own in documents]
    versions = [f"{name} {e[name]}" for name in _VERSIONS for e in where if name in e]
    every = {
        "Device": [_device(e) for e in where],
        "Numbers": [row["dtype"] for row in rows if row.get("dtype")],
        "Mode": ["jit" if row["jit"] else "no jit" for row in rows if "jit" in row],
        "Matrix products": [e.get("matmul_precision", "default") for e in where],
        "Data": [row["dataset"] for row in rows if row.get("dataset")],
        "Versions": versions,
    }
    return [(name, ", ".join(dict.fromkeys(own))) for name, own in every.items() if own]


_VERSIONS = ("jax", "jaxlib", "numpy", "python")


def _device(environment: dict[str, Any]) -> str:
    platform, kind = environment.get("platform", "?"), environment.get("device_kind", "")
    count = environment.get("device_count", 1)
    name = platform if kind in ("", platform) else f"{platform} ({kind})"
    return name if count == 1 else f"{count} × {name}"


def origins(documents: Sequence[Document]) -> list[dict[str, str]]:
    """How to get each document again: its command line and where it ran."""
    return [
        {
            "command": own["command"],
            "line": own.get("reproduce", ""),
            "where": f"{_device(own['environment'])}, jax {own['environment'].get('jax', '?')}, "
            f"matrix products {own['environment'].get('matmul_precision', 'default')}",
        }
        for own in documents
    ]
