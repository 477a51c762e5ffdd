"""What a training has led to: scores, confusions, gradients, the boundary, the parting."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare import metrics
from compare.training import LossAndGrad, TrainState, step_key
from compare.training_loop import Row
from compare.trajectories import Gaps, Parting
from compare.trees import by_path

__all__ = [
    "confused_pairs", "decision_boundary", "gradient_norms", "history", "parting", "scores",
    "seconds_to",
]  # fmt: skip

POINTS = 500
"""So many points of a curve are kept."""

_PAIRS, _EXAMPLES = 6, 6


def history(rows: Sequence[Row], method: str) -> list[dict[str, Any]]:
    """The rows of one method, for JSON and CSV."""
    return [
        {name: value for name, value in row._asdict().items() if name != "method"}
        for row in rows
        if row.method == method
    ]


def seconds_to(rows: Sequence[Row], method: str, accuracy: float = 0.98) -> float | None:
    """Seconds of training up to the first look with this test accuracy; None if there is none."""
    own = (r.seconds for r in rows if r.method == method and r.test_accuracy >= accuracy)
    return next(own, None)


def scores(truth: Any, predicted: np.ndarray, count: int) -> dict[str, Any]:
    """The confusion matrix, precision and recall; NaN as None."""
    found = metrics.class_scores(truth, predicted, count)
    return {
        "confusion": found.confusion,
        "precision": [None if np.isnan(p) else p for p in found.precision],
        "recall": [None if np.isnan(r) else r for r in found.recall],
    }


def confused_pairs(
    truth: np.ndarray, predicted: np.ndarray, images: np.ndarray
) -> list[dict[str, Any]]:
    """The classes that are taken for each other most often, with examples.

    Args:
        truth: the true class of each row.
        predicted: the class it was taken for.
        images: (rows, height, width), between 0 and 1.

    Returns:
        One `{"truth", "predicted", "count", "images"}` a pair, images as whole numbers to 255.
    """
    wrong = np.flatnonzero(truth != predicted)
    pairs, counts = np.unique(
        np.stack([truth[wrong], predicted[wrong]]), axis=1, return_counts=True
    )
    most = np.argsort(-counts, kind="stable")[:_PAIRS]
    found = []
    for true, taken, count in zip(*pairs[:, most].tolist(), counts[most].tolist(), strict=True):
        rows = np.flatnonzero((truth == true) & (predicted == taken))[:_EXAMPLES]
        examples = np.rint(255 * images[rows]).astype(int).tolist()
        found.append({"truth": true, "predicted": taken, "count": count, "images": examples})
    return found


def gradient_norms(
    loss_and_grad: LossAndGrad, first: TrainState, last: TrainState, batch: Any
) -> list[dict[str, Any]]:
    """The Euclidean norm of each leaf's gradient on one batch, at the start and at the end."""
    gradient = jax.jit(loss_and_grad)
    at = []
    for state in (first, last):
        _, grads = gradient(state.params, state.model_state, batch, step_key(state))
        at.append({path: _norm(leaf) for path, leaf in by_path(grads).items()})
    return [{"leaf": path, "first": norm, "last": at[1][path]} for path, norm in at[0].items()]


def decision_boundary(
    predict: Callable[[Any], jax.Array], x: np.ndarray, points: int = 60
) -> dict[str, Any] | None:
    """The probability of class 1 around rows of two features; None for others.

    Args:
        predict: `predict(x) -> logits`, one a row.
        x: the rows, (rows, features).
        points: along each side.
    """
    if x.ndim != 2 or x.shape[1] != 2:
        return None
    low, high = x.min(axis=0) - 0.5, x.max(axis=0) + 0.5
    across, up = (np.linspace(low[i], high[i], points) for i in (0, 1))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(x.dtype)
    probability = jax.nn.sigmoid(jnp.asarray(predict(grid), jnp.float32)[:, 0])
    return {
        "x": across.tolist(),
        "y": up.tolist(),
        "probability": np.asarray(probability).reshape(points, points).tolist(),
    }


def parting(gaps: Gaps, found: Parting) -> dict[str, Any]:
    """What the judge says, with the two distances over the steps, thinned; no infinity or NaN."""
    steps = np.unique(np.linspace(0, len(gaps.total) - 1, POINTS).astype(int))
    return {
        **found._asdict(),
        "excess": _finite(found.excess),
        "steps": (steps + 1).tolist(),
        "distance": [_finite(d) for d in gaps.total[steps]],
        "spread": [_finite(d) for d in gaps.spread[steps]],
    }


def _norm(leaf: np.ndarray) -> float | None:
    return _finite(np.linalg.norm(leaf.astype(np.float64)))


def _finite(x: Any) -> float | None:
    return float(x) if np.isfinite(x) else None
