"""No right gradient of a norm, of attention, of a long scan or of a deep network raises an alarm.

`make false-alarms` runs the full table of docs/checker.md; the gate runs a part of it.
"""

import os
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from autodiff import recurrent as autodiff_recurrent
from autodiff import sequences
from autodiff import transformer as autodiff_transformer
from compare import check_gradients, check_rule
from manual import recurrent, rules, transformer

POINTS = int(os.environ.get("HANDGRAD_NETWORKS", "1"))
DTYPES = tuple(os.environ.get("HANDGRAD_DTYPES", "float64 float32").split())


def drawn(shape: Any, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    return size * rng.normal(size=shape)


def layer_norm(rng: np.random.Generator, settings: Any) -> Any:
    def reference(x, scale, bias):
        mean = x.mean(axis=-1, keepdims=True)
        centred = x - mean
        variance = (centred**2).mean(axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-5) * scale + bias

    inputs = (
        drawn((64, 96), rng, 10 ** rng.uniform(-2, 4)),
        drawn(96, rng),
        drawn(96, rng),
    )
    return check_rule(rules.layer_norm, *inputs, reference=reference, **settings)


def attention(rng: np.random.Generator, settings: Any) -> Any:
    q, k, v = (drawn((2, 48, 4, 16), rng, 10 ** rng.uniform(-1, 0.5)) for _ in range(3))
    rule = rules.attention.bind(causal=True)
    reference = partial(sequences.attention, causal=True)
    return check_rule(rule, q, k, v, reference=reference, **settings)


def scan_of_512(rng: np.random.Generator, settings: Any) -> Any:
    params = recurrent.init(jax.random.key(int(rng.integers(1000))), 3, 8, 5, cell="rnn")
    batch = (drawn((4, 512, 3), rng, 10 ** rng.uniform(-2, 1)), rng.integers(0, 5, 4))
    manual = partial(recurrent.loss_and_grad, cell="rnn")
    loss = partial(autodiff_recurrent.loss, cell="rnn")
    return check_gradients(manual, loss, params, batch, **settings)


def six_layers(rng: np.random.Generator, settings: Any) -> Any:
    key = jax.random.key(int(rng.integers(1000)))
    params = transformer.init(key, 11, 16, 6, 11, tokens=True)
    batch = (rng.integers(0, 11, (4, 12)), rng.integers(0, 11, (4, 12)))
    manual = partial(transformer.loss_and_grad, heads=2, causal=True)
    loss = partial(autodiff_transformer.loss, heads=2, causal=True)
    return check_gradients(manual, loss, params, batch, **settings)


# In this order the gate runs the scan: the others agree in the tests of their rules and model.
@pytest.mark.table
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("checked", [layer_norm, attention, six_layers, scan_of_512])
def test_right_gradients_raise_no_alarm(checked, dtype):
    rng = np.random.default_rng(DTYPES.index(dtype))
    reports = [checked(rng, {"dtype": dtype, "seed": seed}) for seed in range(POINTS)]
    alarms = [str(report) for report in reports if not report.agree]
    print(f"{checked.__name__} {dtype}: {len(reports)} agree")
    assert not alarms, f"{len(alarms)} of {POINTS}\n" + "\n\n".join(alarms[:3])
