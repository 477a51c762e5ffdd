"""The verdicts, and what each of them means."""

from typing import Literal

__all__ = ["ANOTHER_LOSS", "MEANINGS", "Verdict"]

Verdict = Literal[
    "agree",
    "manual_wrong",
    "loss_differs",
    "autodiff_wrong",
    "manual_inaccurate",
    "kink",
    "nonfinite",
    "structure_mismatch",
    "inconclusive",
]

MEANINGS: dict[Verdict, str] = {
    "agree": "Manual is jax.grad to rounding.",
    "manual_wrong": "The hand-derived gradient is wrong.",
    "loss_differs": "The forward passes differ; the hand-derived gradient is right for its own.",
    "autodiff_wrong": "The hand-derived gradient is right; jax.grad of this loss is wrong.",
    "manual_inaccurate": "The mathematics is right; the formula loses digits.",
    "kink": "Both are right: the point sits on a kink, where each has its own convention.",
    "nonfinite": "There are NaN or infinite entries.",
    "structure_mismatch": "What was returned is not made like the loss and its parameters.",
    "inconclusive": "It cannot be told whether the hand-derived gradient is right.",
}

ANOTHER_LOSS = (
    "The forward passes differ as well: look there first; the gradient may be that of another loss."
)
"""What is said before all else of a wrong gradient whose value is wrong too."""
