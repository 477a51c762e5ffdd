"""Measures what the articles warn of, on the network and the data of `sixty-lines`."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.articles import losses
from compare.articles.blocked import biases_summed_over_everything, in_blocks, train_in_blocks
from compare.articles.claim import Claim, percent
from compare.articles.descent import Method
from compare.problems import mlp

__all__ = ["CLASSES", "RATE", "SIZES", "log_of_zero", "unnormalised", "wrong_axis_and_missing_mean"]

SIZES, RATE = (784, 10, 10), 0.1
CLASSES = "softmax_cross_entropy_with_integer_labels"


def unnormalised(params: Any, blocks: Any, method: Method) -> Claim:
    """Trains on pixels from 0 to 255 with the article's own softmax, which subtracts no maximum."""
    model = mlp(SIZES, "relu", losses.unguarded_cross_entropy)
    few = jax.tree.map(lambda a: a[:1], blocks)
    wrong = biases_summed_over_everything(method(model))
    _, loss, _ = train_in_blocks(in_blocks(wrong, model.predict, scale=1), params, few, RATE, 5)
    bad = np.flatnonzero(~np.isfinite(loss))
    first = int(bad[0]) if len(bad) else None
    return Claim(
        "without / 255 it turns NaN",
        "by iteration 3",
        "not in 5 iterations" if first is None else f"at iteration {first}",
        first is not None and first <= 3,
        {"loss": loss, "iteration": first},
        f"{few[1].size:,} rows, float32",
        "float32 overflows at e^89, NumPy's float64 at e^710",
    )


def wrong_axis_and_missing_mean(params: Any, blocks: Any, method: Method) -> Iterator[Claim]:
    """Trains with the softmax over the wrong axis, without 1/m, and right, on a few rows."""
    few = jax.tree.map(lambda a: a[:1], blocks)
    rows = few[1].size
    wrong_axis = mlp(SIZES, "relu", losses.softmax_over_examples)
    predict = wrong_axis.predict
    right = in_blocks(method(mlp(SIZES, "relu", CLASSES)), predict)
    wrong = in_blocks(method(wrong_axis), predict)
    *_, good = train_in_blocks(right, params, few, RATE, 101)
    *_, stuck = train_in_blocks(wrong, params, few, RATE, 101)
    *_, too_long = train_in_blocks(right, params, few, RATE * rows, 101)
    for claim, claimed, accuracy, note in (
        ("softmax over the wrong axis is stuck", "at 10%", stuck,
         "the slope stays (q − y)/m, q the softmax over the examples"),
        ("without 1/m it does not learn", "does not learn", too_long,
         "every step is as many times too long as there are rows"),
    ):  # fmt: skip
        yield Claim(
            claim,
            claimed,
            f"{percent(accuracy[-1])} at iteration 100; mended {percent(good[-1])}",
            # The most frequent digit is 11% of the rows, so that 20% would show some learning.
            bool(accuracy[-1] < 0.2),
            {"accuracy": accuracy, "mended": good},
            f"784-10-10, {rows:,} rows, lr 0.1, 101 iterations",
            note,
        )


def log_of_zero(method: Method) -> Claim:
    """Computes loss and gradient where the softmax of the true class rounds to 0."""
    sizes, key = (1, 2), jax.random.key(0)
    params = [{"w": jnp.zeros((1, 2)), "b": jnp.array([0.0, 120.0]) - 60}]
    batch = jnp.zeros((1, 1)), jnp.zeros(1, jnp.int32)
    plain = mlp(sizes, "relu", losses.unguarded_cross_entropy)
    (naive, _), naive_grads = jax.jit(method(plain))(params, (), batch, key)
    (loss, _), grads = jax.jit(method(mlp(sizes, "relu", CLASSES)))(params, (), batch, key)
    naive_db, db = (np.asarray(g[0]["b"]) for g in (naive_grads, grads))
    return Claim(
        "log(0): −log softmax overflows",
        "infinite or NaN",
        f"{float(naive):g}, slope {naive_db[0]:g}; log-sum-exp {float(loss):g}, {db[0]:g}",
        bool(not np.isfinite(naive) and np.isfinite(loss)),
        {"loss": naive, "slope": naive_db, "log_sum_exp": loss, "log_sum_exp_slope": db},
        "two logits, 120 apart, float32",
    )
