"""Disagreements that are made by hand, and what they are about."""

import jax.numpy as jnp
import numpy as np

from compare.checker.comparison import mathematics, rows, unjudged
from compare.checker.disagreement.case import Disagreement
from compare.checker.noise.measure import Noise
from compare.checker.sides.evaluation import Evaluation, Sides
from compare.checker.sides.side import Side, differentiated
from compare.trees import Layout

W = np.asarray([[0.3, -1.2], [0.7, 0.4], [-0.5, 0.9]])
X = np.asarray([[1.1, -0.4, 0.6], [0.2, 1.3, -0.8], [-0.9, 0.5, 1.7], [0.4, -1.5, 0.3]])
PARAMS = {"w": W, "b": np.asarray([0.1, -0.2])}


def smooth(params, x):
    return jnp.sum(jnp.tanh(x @ params["w"] + params["b"]) ** 3)


def disagreement(candidate, loss, params, *args, jit=True, judged=True):
    """What both sides return, compared as if no leaf had more noise than its last place."""
    point = (params, args)
    layout = Layout(point)
    arrays = layout.arrays(point)
    sides = Side(candidate), differentiated(loss)
    evaluation = Evaluation(layout, jit, seed=0)
    both = Sides(*sides, evaluation, "loss")
    point = both.at(arrays)
    silent = Noise(dict.fromkeys(point.leaves("autodiff"), 0.0))
    found = rows(mathematics(point, silent)) if judged else unjudged(point)
    return Disagreement(both, point, found)
