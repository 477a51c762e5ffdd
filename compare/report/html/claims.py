"""The sections on published claims, and on the checker against wrong gradients."""

from collections.abc import Sequence
from typing import Any

from compare.report.html.values import grouped, held, results_of

__all__ = ["articles", "mutants"]


def articles(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collects each article with its claims, a row each."""
    rows = results_of(documents, "articles")
    return [
        {"article": claims[0]["article"], "held": held(claims), "claims": claims}
        for claims in grouped(rows, key=lambda row: row["article"])
    ]


def mutants(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collects each wrong gradient: whether it was detected, and the name its bug was given."""
    return [
        {
            **row,
            "name": row["named"] or ("–" if row["right"] is None else "not named"),
            "misnamed": row["right"] is False and row["named"] is not None,
        }
        for row in results_of(documents, "mutants")
    ]
