"""Which noise answers a question: of one draw, of few or many, or by Monte Carlo arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker import check_gradients
from compare.checker.noise import measure
from tests.compare.checker.cubes import W, X, changed, loss, right


@pytest.mark.parametrize(("factor", "drawn"), [(2, []), (1 + 1e-8, [1, 2, 3]), (1, [1, 2, 3])])
def test_where_a_run_is_long_and_all_is_far_off_nothing_is_drawn(factor, drawn, monkeypatch):
    monkeypatch.setattr(measure, "LONG_RUN", 7)
    draws = []
    begun = measure.TwoPrecisions._begun
    monkeypatch.setattr(
        measure.TwoPrecisions,
        "_begun",
        lambda self, number, point: draws.append(number) or begun(self, number, point),
    )
    report = check_gradients(changed(lambda g: factor * g), lambda w, x: loss(w, x), W, X)
    assert report.verdict == ("agree" if factor == 1 else "manual_wrong")
    assert draws[:3] == drawn  # The point itself is the first, 0.
    assert report.detectable < 1e-8 * np.abs(right(W, X)[1]).max()


def noisy(b, x, key):
    kept = jax.random.bernoulli(key, 0.5, x.shape)
    return jnp.mean(jnp.where(kept, x + b, 0.0) ** 2 * jax.random.normal(key, x.shape))


def noisy_by_hand(b, x, key, lost=0.0):
    kept = jax.random.bernoulli(key, 0.5, x.shape)
    d = jnp.where(kept, 2 * (x + b) * jax.random.normal(key, x.shape), 0.0) / x.size
    return noisy(b, x, key), ((d + lost) - lost).sum(axis=0)


def test_random_numbers_of_another_precision_are_no_rounding():
    """In float64 they are others, and the difference hid both arithmetic and mistakes."""
    point = jnp.zeros(3, jnp.float32), X, jax.random.key(0)
    right = check_gradients(noisy_by_hand, noisy, *point)
    assert right.verdict == "agree"
    assert right.detectable < 1e-13
    assert right.leaves[0].tolerance < 1e-5
    assert any(line.startswith("random numbers are others in float64") for line in right.details)
    # Compiled, it is simplified.
    unstable = check_gradients(lambda *of: noisy_by_hand(*of, lost=1e4), noisy, *point, jit=False)
    assert unstable.verdict == "manual_inaccurate"

    def halved(*of):
        value, grad = noisy_by_hand(*of)
        return value, 0.5 * grad

    report = check_gradients(halved, noisy, *point)
    assert report.verdict == "manual_wrong"
    assert not any("hides it" in line for line in report.details)
