import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.checker.noise.rounding import draw_keys, rounding_noise, unit_in_last_place

EPS = unit_in_last_place(np.float32)


def noise(fn, *args, freeze_decisions=True):
    args = [jnp.asarray(x) for x in args]
    keys = draw_keys(16, seed=0)
    return rounding_noise(fn, args, fn(*args), keys, freeze_decisions=freeze_decisions)


def test_one_operation_moves_by_units_in_the_last_place():
    x = np.full(100, 1.5, np.float32)
    # Two inputs and one product, a unit each, and half a unit for rounding each move.
    assert 1 * EPS * 2.25 <= noise(jnp.multiply, x, x) <= 4.5 * EPS * 2.25


def test_data_that_only_moves_has_the_noise_of_its_own_rounding():
    x = np.full((4, 5), 1.5, np.float32)
    # One unit of 1.5, and at most half a unit in the last place for rounding the move.
    assert 1 * EPS <= noise(lambda x: x.T.reshape(2, 10)[:1], x) <= 2 * EPS


def test_cancellation_shows_where_it_happens():
    """1 − p for p next to 1: the inputs' noise alone would be ten million times too small."""
    x = np.asarray(16.0, np.float32)
    measured = noise(lambda x: 1 - lax.logistic(x), x)
    assert 0.1 * EPS <= measured <= 3 * EPS


def test_zero_stays_zero():
    assert noise(lambda x: x @ x, np.zeros((3, 3), np.float32)) == 0


def test_sums_move_by_the_root_of_their_length():
    x = np.ones(10_000, np.float32)
    # A hundred units, and one each way for the terms and the rounding of the move.
    assert 99 * EPS <= noise(jnp.sum, x) / 10_000 <= 101 * EPS


def kinked(x):
    """relu at a value that is 0 only by cancellation, times a large slope."""
    y = x[0] + x[1] - x[2]
    return jnp.where(y > 0, 1e6 * (y + 1), 0.0)


TIE = np.asarray([1.0, 2.0, 3.0], np.float32)


def test_frozen_decisions_stay_on_their_side_of_a_kink():
    assert noise(kinked, TIE) == 0


def test_free_decisions_cross_it():
    assert noise(kinked, TIE, freeze_decisions=False) > 1e5


def test_frozen_selections_keep_their_entry():
    """The gradient of max-pooling chooses by value inside one primitive."""

    def pooled(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (2,), (2,), "VALID")

    def pullback(x):
        return jax.vjp(pooled, x)[1](jnp.asarray([1.0], x.dtype))[0]

    x = np.asarray([2.0, 2.0], np.float32)
    assert noise(pullback, x) <= 4 * EPS
    assert noise(pullback, x, freeze_decisions=False) > 0.5


@pytest.mark.parametrize("freeze_decisions", [True, False])
def test_loops_and_branches_are_entered(freeze_decisions):
    def looping(x):
        x = lax.fori_loop(0, 3, lambda i, c: c * 1.5, x)
        x, ys = lax.scan(lambda c, t: (jnp.tanh(c + t), c), x, jnp.ones(4, x.dtype))
        x = lax.while_loop(lambda c: c < 10, lambda c: c * 2, x)
        return lax.cond(x > 5, jnp.sin, jnp.cos, x), ys

    x = jnp.float32(0.3)
    value, ys = noise(looping, x, freeze_decisions=freeze_decisions)
    # 24 is the conditioning of sin at about 12 after doublings from a saturated tanh.
    assert EPS * 0.1 < value < EPS * 200
    assert EPS * 0.1 < ys < EPS * 100


def test_narrowing_is_rounding():
    x = np.full(50, 1.25, np.float32)
    half = noise(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), x)
    assert half == pytest.approx(1.25 * unit_in_last_place(jnp.bfloat16), rel=0.01)


def test_the_seed_decides():
    x = np.linspace(1, 2, 7, dtype=np.float32)
    fn = jnp.cumprod
    runs = [
        rounding_noise(fn, [x], fn(x), draw_keys(16, seed), freeze_decisions=True)
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]
