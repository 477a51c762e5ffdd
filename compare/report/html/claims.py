"""What others claim beside what was measured, and the checker against wrong gradients."""

from collections.abc import Sequence
from typing import Any

from compare.report.html.values import grouped, held, results_of

__all__ = ["articles", "mutants"]


def articles(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each article with its claims, a row each."""
    rows = results_of(documents, "articles")
    return [
        {"article": own[0]["article"], "held": held(own), "claims": own}
        for own in grouped(rows, key=lambda row: row["article"])
    ]


def mutants(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each wrong gradient: whether it was detected, and what it was called."""
    return [
        {
            **row,
            "name": row["named"] or ("–" if row["right"] is None else "not named"),
            "misnamed": row["right"] is False and row["named"] is not None,
        }
        for row in results_of(documents, "mutants")
    ]
