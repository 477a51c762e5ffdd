"""The top of the page: the verdicts, the facts, and the commands that repeat the results."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from compare.report.html.values import grouped, held, joined, number, percent, subject, value

__all__ = ["PARTINGS", "Headline", "facts", "headlines", "leap_text", "origins"]

Document = dict[str, Any]


class Headline(NamedTuple):
    """The verdict of one document.

    Attributes:
        command: the command that wrote the document.
        state: `good`, `bad` or `plain`.
        word: the verdict in one word, as the command prints it.
        text: what the verdict is about.
        note: what else a reader should know, or "".
    """

    command: str
    state: str
    word: str
    text: str
    note: str = ""


def headlines(documents: Sequence[Document]) -> list[Headline]:
    """Writes a headline for each document: the bad ones first, then those on gradients."""
    found = [_HEADLINES[document["command"]](document["results"]) for document in documents]
    return sorted(found, key=lambda line: (line.state != "bad", line.command not in _ON_GRADIENTS))


_ON_GRADIENTS = ("gradients", "check")


def _gradients(results: list[dict[str, Any]], command: str = "gradients") -> Headline:
    wrong = [row for row in results if not row["agree"]]
    shown = wrong or results
    about = joined(_few([subject(row) for row in shown]))
    text = f"{len(shown)} of {len(results)} comparisons, on {about}"
    if wrong:
        meanings = " ".join(dict.fromkeys(row.get("meaning") or row["verdict"] for row in wrong))
        return Headline(command, "bad", "DISAGREE", text, meanings)
    least = max(results, key=lambda row: value(row, "detectable"))
    note = (
        f"An error of {number(least, 'detectable', '.0e')} in any one entry would have been caught."
    )
    return Headline(command, "good", "AGREE", text, note)


def _check(results: list[dict[str, Any]]) -> Headline:
    return _gradients(results, "check")


_MOST = 6


def _few(names: Iterable[str]) -> list[str]:
    """Returns each name once, and a count in place of those that are too many."""
    each = list(dict.fromkeys(names))
    left = len(each) - _MOST
    return each if left < 2 else [*each[:_MOST], f"{left} others"]


PARTINGS = {
    "identical": "Both trajectories are identical, bit for bit.",
    "chaos": "The two trajectories part by rounding alone, as jax.grad's own do from one ulp away.",
    "defect": "The two trajectories part by more than rounding explains.",
}
"""The meaning of each verdict on two trainings in step."""


def leap_text(parting: dict[str, Any]) -> str:
    """Writes that manual leapt away by chance; "" if it did not."""
    if parting["verdict"] != "chaos" or parting.get("onset") is None:
        return ""
    return (
        f"Manual left first, at step {parting['onset']}, by chance: both gradients agree there, "
        "and rounding can switch a ReLU."
    )


def _train(results: list[dict[str, Any]]) -> Headline:
    accuracies = [
        f"{sides[0]['problem']} {sides[0]['model']} " + joined(_test_accuracy(s) for s in sides)
        for sides in grouped(results, key=lambda row: (row["problem"], row["model"]))
    ]
    verdicts = [row["parting"]["verdict"] for row in results if row.get("parting")]
    note = " ".join(dict.fromkeys(PARTINGS[verdict] for verdict in verdicts))
    text = f"test accuracy of {joined(accuracies)}"
    if "defect" in verdicts:
        return Headline("train", "bad", "PARTED", text, note)
    return Headline("train", "good" if verdicts else "plain", "TRAINED", text, note)


def _test_accuracy(result: dict[str, Any]) -> str:
    """Formats the last test accuracy; "–" if training stopped in its first epoch."""
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
    "gradients": _gradients, "check": _check, "train": _train, "bench": _bench,
    "articles": _articles, "mutants": _mutants,
}  # fmt: skip


def facts(documents: Sequence[Document]) -> list[tuple[str, str]]:
    """Collects device, dtype, precision, data and versions of all documents, each value once."""
    rows = [row for document in documents for row in document["results"]]
    where = [document["environment"] for document in documents]
    versions = [f"{name} {e[name]}" for name in _VERSIONS for e in where if name in e]
    every = {
        "Device": [_device(e) for e in where],
        "Numbers": [row["dtype"] for row in rows if row.get("dtype")],
        "Mode": ["jit" if row["jit"] else "no jit" for row in rows if "jit" in row],
        "Matrix products": [e.get("matmul_precision", "default") for e in where],
        "Data": [row["dataset"] for row in rows if row.get("dataset")],
        "Versions": versions,
    }
    return [(name, ", ".join(dict.fromkeys(values))) for name, values in every.items() if values]


_VERSIONS = ("jax", "jaxlib", "numpy", "python")


def _device(environment: dict[str, Any]) -> str:
    platform, kind = environment.get("platform", "?"), environment.get("device_kind", "")
    count = environment.get("device_count", 1)
    name = platform if kind in ("", platform) else f"{platform} ({kind})"
    return name if count == 1 else f"{count} × {name}"


def origins(documents: Sequence[Document]) -> list[dict[str, str]]:
    """Collects the command line of each document, and where it ran."""
    return [
        {
            "command": document["command"],
            "line": document.get("reproduce", ""),
            "where": f"{_device(where)}, jax {where.get('jax', '?')}, "
            f"matrix products {where.get('matmul_precision', 'default')}",
        }
        for document in documents
        for where in [document["environment"]]
    ]
