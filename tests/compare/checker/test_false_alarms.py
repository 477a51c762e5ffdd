"""No right gradient raises an alarm: random networks, sizes, scales and dtypes.

`make false-alarms` runs the full table of docs/checker.md; the gate runs a part of it.
"""

import os
from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from autodiff import mlp as autodiff_mlp
from compare import check_gradients
from compare.mutants import convolution, normalisation, rnn
from manual import mlp as manual_mlp
from manual.rules import activations, losses

NETWORKS = int(os.environ.get("HANDGRAD_NETWORKS", "7"))
"""How many architectures in each dtype; each is compared at POINTS points."""
POINTS = 10 if os.environ.get("HANDGRAD_THOROUGH") else 1
DTYPES = tuple(os.environ.get("HANDGRAD_DTYPES", "float64 float32").split())


def width(rng: np.random.Generator, largest: int = 300) -> int:
    """A width of 1 to `largest`, every order of magnitude as likely."""
    return int(np.exp(rng.uniform(0, np.log(largest + 1))))


def scale(rng: np.random.Generator) -> float:
    return 10.0 ** rng.uniform(-4, 4)


def mlp(rng: np.random.Generator) -> Any:
    activation = str(rng.choice(sorted(activations.ACTIVATIONS)))
    name = str(rng.choice(sorted(losses.LOSSES)))
    sizes = [width(rng) for _ in range(rng.integers(2, 5))]
    if name.startswith("softmax"):  # Over one class it is 1, and every gradient 0.
        sizes[-1] += 1
    rows = width(rng, 512)
    settings = {"activation": activation, "loss": name}

    def point(rng: np.random.Generator) -> Any:
        size = scale(rng)
        params = [
            {"w": rng.normal(size=(n, m)) / np.sqrt(n), "b": size * rng.normal(size=m)}
            for n, m in pairwise(sizes)
        ]
        x = size * rng.normal(size=(rows, sizes[0]))
        if name.endswith("integer_labels"):
            return params, (x, rng.integers(0, sizes[-1], rows))
        targets = rng.uniform(size=(rows, sizes[-1]))
        return params, (x, targets / targets.sum(axis=1, keepdims=True))

    manual = partial(manual_mlp.loss_and_grad, **settings)
    return f"mlp {settings} {sizes} {rows}", manual, partial(autodiff_mlp.loss, **settings), point


def conv(rng: np.random.Generator) -> Any:
    c, d, e = (width(rng, 12) for _ in range(3))
    batch, height, wide = width(rng, 20), *rng.integers(6, 14, 2)

    def point(rng: np.random.Generator) -> Any:
        size = scale(rng)
        params = [
            {"w": rng.normal(size=(3, 2, c, d)) / np.sqrt(6 * c), "b": size * rng.normal(size=d)},
            {"w": rng.normal(size=(2, 3, d, e)) / np.sqrt(6 * d), "b": size * rng.normal(size=e)},
        ]
        x = size * rng.normal(size=(batch, height, wide, c))
        return params, x, rng.normal(size=(batch, e))

    return f"conv {c, d, e, batch}", convolution.correct, convolution.loss, point


def batch_norm(rng: np.random.Generator) -> Any:
    n, m, k = width(rng), width(rng), width(rng, 20)
    rows = 1 + width(rng, 511)

    def point(rng: np.random.Generator) -> Any:
        params = {
            "w": rng.normal(size=(n, m)),
            "gamma": rng.normal(size=m),
            "beta": rng.normal(size=m),
            "v": rng.normal(size=(m, k)),
        }
        return params, scale(rng) * rng.normal(size=(rows, n)), rng.normal(size=(rows, k))

    return (
        f"batch-norm {n, m, k, rows}",
        normalisation.batch_norm,
        normalisation.batch_norm_loss,
        point,
    )


def recurrent(rng: np.random.Generator) -> Any:
    n, h, k, batch, steps = (
        width(rng, 60),
        width(rng, 60),
        width(rng, 9),
        width(rng, 60),
        width(rng, 9),
    )

    def point(rng: np.random.Generator) -> Any:
        size = scale(rng)
        params = {
            "wx": size * rng.normal(size=(n, h)),
            "wh": rng.normal(size=(h, h)) / np.sqrt(h),
            "b": rng.normal(size=h),
            "v": rng.normal(size=(h, k)),
            "c": rng.normal(size=k),
        }
        h0, xs = rng.normal(size=(batch, h)), rng.normal(size=(steps, batch, n))
        return params, h0, xs, rng.normal(size=(steps, batch, k))

    return f"rnn {n, h, k, batch, steps}", rnn.correct, rnn.loss, point


KINDS = (mlp, mlp, conv, mlp, batch_norm, mlp, recurrent)


def is_zero_on_both_sides(report: Any) -> bool:
    """Where every unit is dead there is nothing to compare, which the report says."""
    return any(line.startswith("nothing was tested") for line in report.details)


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
def test_right_gradients_raise_no_alarm(dtype):
    rng = np.random.default_rng(DTYPES.index(dtype))
    verdicts = Counter()
    alarms = []
    for i in range(NETWORKS):
        kind = KINDS[i % len(KINDS)]
        name, manual, loss, point = kind(rng)
        for seed in range(POINTS):
            report = check_gradients(manual, loss, *point(rng), dtype=dtype, seed=seed)
            verdicts[(kind.__name__, report.verdict)] += 1
            if not (report.agree or is_zero_on_both_sides(report)):
                alarms.append(f"{name}\n{report}")
    print(f"{dtype}: {dict(verdicts)}")
    assert not alarms, f"{len(alarms)} alarms\n" + "\n\n".join(alarms[:5])
