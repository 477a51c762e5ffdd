"""The article `sixty-lines`: 784-10-10, ReLU, softmax, descent at lr 0.1, 750 iterations.

The article's bias gradients are wrong: each is the sum over all units as well as over the examples.
"""

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare import check_gradients
from compare.articles import pitfalls
from compare.articles.blocked import (
    WHITE,
    biases_summed_over_everything,
    in_blocks,
    scaled,
    train_in_blocks,
    turned,
)
from compare.articles.claim import Claim, Options, percent, reaches, within
from compare.articles.descent import Method
from compare.articles.pitfalls import CLASSES, RATE, SIZES
from compare.problems import Model, mlp
from compare.training.metrics import correct
from compare.training.steps import LossAndGrad

__all__ = ["Setup", "claims", "prepare"]

CURVE = {0: 0.092, 50: 0.492, 100: 0.667, 200: 0.781, 300: 0.823, 500: 0.859, 740: 0.877}
"""The published accuracy on the training rows, by iteration."""
TEST, SECONDS, PARAMETERS = 0.858, 30, 7960
POINT = 0.01
"""How far another draw of the weights moves an accuracy: the published run and an independent one
differ by as much. The article's own draw is not known, so closer agreement cannot be expected."""
_MODEL = mlp(SIZES, "relu", CLASSES)
_BLOCK = 2050
"""The number of rows whose first layer fits a core's cache; 41,000 rows are twenty such blocks."""
_QUICK_ROWS = 2 * _BLOCK


class Setup(NamedTuple):
    """What both methods start from.

    Attributes:
        blocks: the training rows, pixels in bytes (blocks, rows, 784) and labels (blocks, rows).
        test: x and labels of the rows held out.
        params: initial parameters as in the article, (n_out, n_in), uniform in ±0.5.
        iterations: the number of iterations of each training.
        seed: of the perturbations of `check_gradients`.
        full: whether this is the article's own run, on all of its rows.
    """

    blocks: tuple[jax.Array, jax.Array]
    test: tuple[np.ndarray, np.ndarray]
    params: Any
    iterations: int
    seed: int
    full: bool

    @property
    def rows(self) -> int:
        """Returns the number of rows that are trained on."""
        return self.blocks[1].size

    @property
    def settings(self) -> str:
        """Returns the settings in words."""
        return f"784-10-10, {self.rows:,} rows, lr 0.1, {self.iterations} iterations"


def prepare(options: Options) -> Setup:
    """Shuffles MNIST as the article does, holds 1,000 rows out and draws the weights.

    Raises:
        ValueError: no MNIST was given.
    """
    if options.mnist is None:
        raise ValueError("sixty-lines needs MNIST")
    data = options.mnist
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(data.x_train))
    held_out, rows = order[:1000], order[1000:42_000]
    if options.quick:
        rows = rows[:_QUICK_ROWS]
    size = min(_BLOCK, len(rows))
    rows = rows[: len(rows) // size * size]
    pixels = np.rint(WHITE * data.x_train[rows]).astype(np.uint8)
    labels = data.y_train[rows]
    params = [
        {
            "w": jnp.asarray(rng.random((n_out, n_in)) - 0.5, jnp.float32),
            "b": jnp.asarray(rng.random(n_out) - 0.5, jnp.float32),
        }
        for n_in, n_out in pairwise(SIZES)
    ]
    return Setup(
        blocks=(jnp.asarray(pixels.reshape(-1, size, 784)), jnp.asarray(labels.reshape(-1, size))),
        test=(data.x_train[held_out], data.y_train[held_out]),
        params=params,
        iterations=101 if options.quick else 750,
        seed=options.seed,
        full=not options.quick and data.name == "mnist",
    )


def claims(setup: Setup, method: Method) -> Iterator[Claim]:
    """Measures every claim of the article, by one method."""
    model = _MODEL
    gradient = method(model)
    count = sum(p.size for p in jax.tree.leaves(setup.params))
    yield Claim(
        "parameters", f"{PARAMETERS:,}", f"{count:,}", count == PARAMETERS, {"parameters": count}
    )
    start_from = setup.params, setup.blocks, RATE, setup.iterations
    start = time.perf_counter()
    wrong = in_blocks(biases_summed_over_everything(gradient), model.predict)
    published, _, curve = train_in_blocks(wrong, *start_from)
    seconds = time.perf_counter() - start
    mended, _, mended_curve = train_in_blocks(in_blocks(gradient, model.predict), *start_from)
    yield from _learns(setup, model, published, curve, seconds)
    accuracies = float(curve[-1]), float(mended_curve[-1])
    yield Claim(
        "training cannot see the wrong bias gradients",
        "87.5%, mended 87.5% (in NumPy)",
        f"{percent(accuracies[0])}, mended {percent(accuracies[1])}",
        within(*accuracies, POINT),
        {
            "published": accuracies[0],
            "mended": accuracies[1],
            "mended_test": _test_accuracy(setup, model, mended),
            "curve": curve,
            "mended_curve": mended_curve,
        },
        setup.settings,
    )
    yield _checker_finds_the_bug(setup, model, gradient)
    yield pitfalls.unnormalised(setup.params, setup.blocks, method)
    yield from pitfalls.wrong_axis_and_missing_mean(setup.params, setup.blocks, method)
    yield pitfalls.log_of_zero(method)


def _learns(
    setup: Setup, model: Model, params: Any, curve: np.ndarray, seconds: float
) -> Iterator[Claim]:
    reached = [i for i in CURVE if i < len(curve)]
    last = reached[-1]
    test = _test_accuracy(setup, model, params)
    yield Claim(
        f"training accuracy at iteration {last}",
        percent(CURVE[last]),
        percent(curve[last]),
        within(curve[last], CURVE[last], POINT) if setup.full else None,
        {"accuracy": {i: float(curve[i]) for i in reached}, "published": CURVE, "curve": curve},
        setup.settings,
        "holds within one point, what another draw of the weights changes; ours is uniform in ±0.5",
    )
    yield Claim(
        "test accuracy",
        percent(TEST),
        percent(test),
        reaches(test, TEST, len(setup.test[1])) if setup.full else None,
        {"accuracy": test, "rows": len(setup.test[1])},
        setup.settings,
        f"holds within two standard errors of {len(setup.test[1]):,} rows",
    )
    yield Claim(
        "takes about 30 s on a laptop",
        f"{SECONDS} s",
        f"{seconds:.1f} s",
        seconds <= SECONDS if setup.full else None,
        {"seconds": seconds},
        f"{setup.settings}, compilation included",
        timed=True,
    )


def _test_accuracy(setup: Setup, model: Model, params: Any) -> float:
    logits = model.predict(turned(params), (), setup.test[0])
    return float(correct(logits, setup.test[1]).mean())


def _checker_finds_the_bug(setup: Setup, model: Model, gradient: LossAndGrad) -> Claim:
    batch = scaled(setup.blocks[0][0, :64]), setup.blocks[1][0, :64]
    report = check_gradients(
        biases_summed_over_everything(gradient),
        model.loss,
        turned(setup.params),
        (),
        batch,
        jax.random.key(0),
        has_aux=True,
        seed=setup.seed,
    )
    wrong = [leaf.path for leaf in report.leaves if not leaf.agrees]
    bug = report.diagnosis.bug if report.diagnosis else "none"
    found = report.verdict, wrong, bug
    return Claim(
        "check_gradients sees them",
        "wrong: 0/b, 1/b",
        f"{report.verdict}: {', '.join(wrong)}; {bug}",
        found == ("manual_wrong", ["0/b", "1/b"], "bias_summed_over_features"),
        {"verdict": report.verdict, "leaves": wrong, "bug": bug},
        "64 rows, the initial weights",
    )
