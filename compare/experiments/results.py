"""Computes the results of a training: scores, confusions, gradient norms, boundary, parting."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.experiments.experiment import Experiment
from compare.experiments.parting import is_defect, state_before
from compare.experiments.run import Run
from compare.training import metrics
from compare.training.loop import Row
from compare.training.steps import LossAndGrad, TrainState, step_key
from compare.training.trajectories import Gaps, Parting, joined, judge_parting
from compare.trees import by_path, on_host

__all__ = [
    "confused_pairs", "decision_boundary", "gradient_norms", "history", "parting",
    "results", "scores", "seconds_to",
]  # fmt: skip

POINTS = 500
"""The most points of a curve that are kept."""

_PAIRS, _EXAMPLES = 6, 6


def results(
    experiment: Experiment, run: Run, settings: dict[str, Any], compile_seconds: float
) -> list[dict[str, Any]]:
    """Computes the results of each side, in JSON's types.

    Args:
        experiment: what was trained.
        run: the finished run, its state on the host.
        settings: of the run; they are repeated in each result.
        compile_seconds: the time it took to compile the epoch.

    Returns:
        One dictionary a side.
    """
    sides = experiment.trainer.sides
    first, last = sides(on_host(experiment.state)), sides(run.state)
    found = [
        {
            **settings,
            "method": method,
            "epochs": experiment.recipe.epochs,
            **_speed(experiment, run, method),
            "compile_seconds": compile_seconds,
            **_by_class(experiment, side),
            "gradient_norms": _gradient_norms(experiment, method, first[method], side),
            "decision_boundary": _boundary(experiment, side),
            "parting": None,
        }
        for method, side in last.items()
    ]
    if run.gaps:
        gaps = joined(run.gaps)
        paths = list(by_path(experiment.problem.params))
        found[0]["parting"] = parting(gaps, _checked(experiment, judge_parting(gaps, paths)))
    return found


def _checked(experiment: Experiment, found: Parting) -> Parting:
    """Turns a defect into chaos if the gradients agree where it began."""
    if found.onset is None:
        return found
    data, model = experiment.problem.data, experiment.problem.model
    state, *batches = state_before(
        found.onset,
        experiment.gradients["autodiff"],
        experiment.optimizer.transformation,
        experiment.trainer.sides(on_host(experiment.state))["autodiff"],
        (jnp.asarray(data.x_train), jnp.asarray(data.y_train)),
        experiment.recipe.batch,
    )
    if is_defect(experiment.gradients["manual"], model.loss, state, *batches):
        return found
    return found._replace(verdict="chaos")


def _speed(experiment: Experiment, run: Run, method: str) -> dict[str, Any]:
    rows = history(run.history, method)
    samples, seconds = rows[-1]["epoch"] * len(experiment.problem.data.x_train), rows[-1]["seconds"]
    return {
        "history": rows,
        "seconds": seconds,
        "samples_per_second": samples / seconds,
        "seconds_to_98": seconds_to(run.history, method),
    }


def _by_class(experiment: Experiment, side: TrainState) -> dict[str, Any]:
    data, model = experiment.problem.data, experiment.problem.model
    truth = np.asarray(metrics.labels(data.y_test))
    predicted = metrics.predicted_classes(
        lambda x: model.predict(side.params, side.model_state, x), data.x_test
    )
    count = max(2, int(truth.max()) + 1)
    pairs = []
    picture = experiment.problem.picture
    if picture is not None:
        pairs = confused_pairs(truth, predicted, data.x_test.reshape(-1, *picture))
    return {**scores(truth, predicted, count), "confused_pairs": pairs}


def _gradient_norms(
    experiment: Experiment, method: str, first: TrainState, last: TrainState
) -> list[dict[str, Any]]:
    data, batch = experiment.problem.data, experiment.recipe.batch
    rows = data.x_train[:batch], data.y_train[:batch]
    return gradient_norms(experiment.gradients[method], first, last, rows)


def _boundary(experiment: Experiment, side: TrainState) -> dict[str, Any] | None:
    predict = experiment.problem.model.predict
    return decision_boundary(
        lambda x: predict(side.params, side.model_state, x), experiment.problem.data.x_train
    )


def history(rows: Sequence[Row], method: str) -> list[dict[str, Any]]:
    """Selects the rows of one method, as dictionaries for JSON and CSV."""
    return [
        {name: value for name, value in row._asdict().items() if name != "method"}
        for row in rows
        if row.method == method
    ]


def seconds_to(rows: Sequence[Row], method: str, accuracy: float = 0.98) -> float | None:
    """Returns the seconds of training at the first look with this test accuracy, or None."""
    reached = (r.seconds for r in rows if r.method == method and r.test_accuracy >= accuracy)
    return next(reached, None)


def scores(truth: Any, predicted: np.ndarray, count: int) -> dict[str, Any]:
    """Computes the confusion matrix, precision and recall; NaN becomes None."""
    found = metrics.class_scores(truth, predicted, count)
    return {
        "confusion": found.confusion,
        "precision": [None if np.isnan(p) else p for p in found.precision],
        "recall": [None if np.isnan(r) else r for r in found.recall],
    }


def confused_pairs(
    truth: np.ndarray, predicted: np.ndarray, images: np.ndarray
) -> list[dict[str, Any]]:
    """Finds the classes that are most often confused, with examples.

    Args:
        truth: the true class of each row.
        predicted: the predicted class of each row.
        images: (rows, height, width), between 0 and 1.

    Returns:
        One `{"truth", "predicted", "count", "images"}` a pair, images as integers from 0 to 255.
    """
    wrong = np.flatnonzero(truth != predicted)
    pairs, counts = np.unique(
        np.stack([truth[wrong], predicted[wrong]]), axis=1, return_counts=True
    )
    most = np.argsort(-counts, kind="stable")[:_PAIRS]
    found = []
    for true, guess, count in zip(*pairs[:, most].tolist(), counts[most].tolist(), strict=True):
        rows = np.flatnonzero((truth == true) & (predicted == guess))[:_EXAMPLES]
        examples = np.rint(255 * images[rows]).astype(int).tolist()
        found.append({"truth": true, "predicted": guess, "count": count, "images": examples})
    return found


def gradient_norms(
    loss_and_grad: LossAndGrad, first: TrainState, last: TrainState, batch: Any
) -> list[dict[str, Any]]:
    """Computes the Euclidean norm of each leaf's gradient on one batch, at both states."""
    gradient = jax.jit(loss_and_grad)

    def norms(state: TrainState) -> dict[str, float | None]:
        _, grads = gradient(state.params, state.model_state, batch, step_key(state))
        return {path: _norm(leaf) for path, leaf in by_path(grads).items()}

    before, after = norms(first), norms(last)
    return [{"leaf": path, "first": norm, "last": after[path]} for path, norm in before.items()]


def decision_boundary(
    predict: Callable[[Any], jax.Array], x: np.ndarray, points: int = 60
) -> dict[str, Any] | None:
    """Computes the probability of class 1 on a square grid around rows of two features.

    Args:
        predict: `predict(x) -> logits`, (rows, 1).
        x: the rows, (rows, features).
        points: the number of grid points along each side.

    Returns:
        `{"x", "y", "probability"}`: the grid's coordinates along both sides, and a list of rows of
        probabilities; None if the rows have not two features.
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
    """Turns a judgement into a dictionary for JSON, with both distances at up to POINTS steps."""
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
