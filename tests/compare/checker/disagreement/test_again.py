"""A wrong candidate whose constants are rounded, or the loss's: its true line is found."""

import linecache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients

TENTH = jnp.float32(0.1)


def wrong_slope(xp: Any, tenth: Any) -> Any:
    def by_hand(p: Any, x: Any) -> Any:
        z = x @ p
        h = xp.tanh(tenth * z)
        value = xp.mean(h**2)
        dh = 2 * h / h.size
        dz = tenth * dh * (1 - h)  # fault
        return value, x.T @ dz

    return by_hand


@pytest.mark.parametrize("xp", [np, jnp])
def test_the_line_is_found_where_the_loss_alone_rounds_its_constants(xp: Any):
    rng = np.random.default_rng(0)

    def loss(p: Any, x: Any) -> Any:
        return jnp.mean(jnp.tanh(0.1 * (x @ p).astype(jnp.float32)) ** 2)

    by_hand = wrong_slope(xp, 0.1)
    args = rng.normal(size=(7, 5)), rng.normal(size=(9, 7))
    assert is_found(check_gradients(by_hand, loss, *args, jit=xp is jnp))


@pytest.mark.parametrize("tenth", [TENTH, np.float32(0.1)])
def test_the_line_is_found_where_the_candidate_alone_has_float32(tenth: Any):
    rng = np.random.default_rng(0)

    def loss(p: Any, x: Any) -> Any:
        return jnp.mean(jnp.tanh(0.1 * (x @ p)) ** 2)

    args = rng.normal(size=(7, 5)), rng.normal(size=(9, 7))
    assert is_found(check_gradients(wrong_slope(jnp, tenth), loss, *args))


def is_found(report: Any) -> bool:
    assert report.verdict == "manual_wrong"
    assert report.diagnosis is not None
    first, *_ = report.diagnosis.suspects
    return linecache.getline(*_place(first)).rstrip().endswith("# fault")


def _place(suspect: str) -> tuple[str, int]:
    file, _, number = suspect.rpartition(":")
    return file, int(number)
