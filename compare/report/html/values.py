"""Numbers as a page shows them, and results put together that belong together."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = [
    "grouped", "held", "joined", "number", "percent", "results_of", "shape", "value"
]  # fmt: skip

Row = dict[str, Any]


def value(row: Row, name: str) -> float:
    """The number called `name`; JSON's null is NaN or an infinity, as the flag beside it says."""
    found = row.get(name)
    return float(row.get(f"{name}_nonfinite") or "nan") if found is None else float(found)


def number(row: Row, name: str, form: str = ".1e") -> str:
    """The same in words; "–" where there is none."""
    if row.get(name) is None and not row.get(f"{name}_nonfinite"):
        return "–"
    found = value(row, name)
    if found == 0:
        return "0"
    if math.isnan(found):
        return "NaN"
    if math.isinf(found):
        return "∞" if found > 0 else "−∞"
    return f"{found:{form}}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share of 1, to a hundredth of a percent."""
    return "–" if share is None else f"{100 * share:.2f} %"


def shape(sizes: Sequence[int]) -> str:
    """The sizes of an array."""
    return "×".join(map(str, sizes)) or "scalar"


def results_of(documents: Iterable[dict[str, Any]], command: str) -> list[Row]:
    """The results of every document that this command wrote."""
    return [row for own in documents if own["command"] == command for row in own["results"]]


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> list[list[Row]]:
    """Rows with the same key together, in the order in which each key comes first."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def held(rows: Iterable[Row]) -> str:
    """How many published claims hold, by every method, of those that were judged."""
    published = [row for row in rows if row.get("published", True) and row["holds"] is not None]
    claims = grouped(published, key=lambda row: (row["article"], row["claim"]))
    return f"{sum(all(row['holds'] for row in own) for own in claims)} of {len(claims)}"


def joined(words: Iterable[Any]) -> str:
    """Each word once, in order, as a list in a sentence."""
    *most, last = [str(word) for word in dict.fromkeys(words)] or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last
