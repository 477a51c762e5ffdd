"""Formats numbers for a page, and groups results."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = [
    "grouped", "held", "joined", "number", "percent", "results_of", "shape", "subject", "value",
]  # fmt: skip

Row = dict[str, Any]


def value(row: Row, name: str) -> float:
    """Returns the number called `name`; for a null, the NaN or infinity that its flag states."""
    found = row.get(name)
    return float(row.get(f"{name}_nonfinite") or "nan") if found is None else float(found)


def number(row: Row, name: str, form: str = ".1e") -> str:
    """Formats the number called `name`; "–" if there is none."""
    if row.get(name) is None and not row.get(f"{name}_nonfinite"):
        return "–"
    if isinstance(row.get(name), list):  # a complex number
        parts = [number({name: part}, name, form) for part in row[name]]
        return f"{parts[0]} + {parts[1]} i"
    found = value(row, name)
    if found == 0:
        return "0"
    if math.isnan(found):
        return "NaN"
    if math.isinf(found):
        return "∞" if found > 0 else "−∞"
    return f"{found:{form}}".replace("-", "−")


def percent(share: float | None) -> str:
    """Formats a share from 0 to 1, to a hundredth of a percent; "–" if there is none."""
    return "–" if share is None else f"{100 * share:.2f} %"


def shape(sizes: Sequence[int]) -> str:
    """Formats the shape of an array."""
    return "×".join(map(str, sizes)) or "scalar"


def subject(row: Row) -> str:
    """Names what was compared: a problem and its model, or a function."""
    model = " ".join(str(row[name]) for name in ("problem", "model") if row.get(name))
    return model or row.get("name") or "a gradient"


def results_of(documents: Iterable[dict[str, Any]], *commands: str) -> list[Row]:
    """Collects the results of all documents that these commands wrote."""
    written = [document for document in documents if document["command"] in commands]
    return [row for document in written for row in document["results"]]


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> list[list[Row]]:
    """Groups rows by their key, in the order in which each key first occurs."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def held(rows: Iterable[Row]) -> str:
    """Counts the published claims that hold by every method, of those that were judged."""
    published = [row for row in rows if row.get("published", True) and row["holds"] is not None]
    claims = grouped(published, key=lambda row: (row["article"], row["claim"]))
    return f"{sum(all(row['holds'] for row in claim) for claim in claims)} of {len(claims)}"


def joined(words: Iterable[Any]) -> str:
    """Joins words into a list for a sentence, each word once, in order."""
    *most, last = [str(word) for word in dict.fromkeys(words)] or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last
