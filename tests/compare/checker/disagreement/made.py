"""Disagreements that are made by hand."""

from compare.checker.comparison import mathematics, rows, unjudged
from compare.checker.disagreement.case import Disagreement
from compare.checker.noise.measure import Noise
from compare.checker.sides.evaluation import Evaluation, Sides
from compare.checker.sides.side import Side, differentiated
from compare.trees import Layout


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
