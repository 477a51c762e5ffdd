import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.checker.kinks import Ties, has_kinks, perturbed, random_numbers, ties


def found_in(fn, *arrays):
    """How many entries are ties, by the name of what they sit on."""
    return {tie.name: tie.entries for tie in ties(fn, [jnp.asarray(a) for a in arrays])}


def windowed(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2), (1, 2), "VALID")


X = np.asarray([[1.0, -2.0, 0.5, 3.0], [2.0, 4.0, -1.0, 6.0]], np.float32)
"""Two rows without a zero, without an entry twice."""
ON = np.asarray([[0.0, -2.0, 3.0, 3.0], [-0.0, 4.0, -1.0, -1.0]], np.float32)

KINKED = {
    "relu": (lambda x: jax.nn.relu(x), 2),
    "max": (lambda x: lax.max(x, jnp.full_like(x, 3)), 2),
    "min": (lambda x: lax.min(x, jnp.zeros_like(x)), 2),
    "abs": (lambda x: lax.abs(x), 2),
    "gt": (lambda x: lax.select(x > 0, x, 2 * x), 2),
    "le": (lambda x: lax.select(x <= 3, x, 2 * x), 2),
    "reduce_max": (lambda x: jnp.max(x, axis=1), 1),
    "reduce_min": (lambda x: jnp.min(x, axis=0), 1),
    "reduce_window_max": (windowed, 2),
}


@pytest.mark.parametrize("name", KINKED)
def test_entries_on_a_kink_are_counted(name):
    fn, entries = KINKED[name]
    assert found_in(fn, ON) == {name: entries}


@pytest.mark.parametrize("name", KINKED)
def test_off_the_kink_there_are_none(name):
    fn, _ = KINKED[name]
    moved = X + np.float32(0.25)
    assert found_in(fn, moved) == {}


def test_a_smooth_function_has_none():
    assert found_in(lambda x: jnp.sum(jnp.tanh(x) ** 2 / (1 + x @ x.T)), np.zeros((2, 2))) == {}


@pytest.mark.parametrize(("units", "tied"), [(1, True), (8, True), (12, False), (-12, False)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_that_rounding_may_order_either_way_are_a_tie(units, tied, dtype):
    with jax.enable_x64(True):
        x = np.asarray([3.0], dtype)
        y = x * (1 + units * np.finfo(dtype).eps)
        assert found_in(lambda x, y: jnp.sum(lax.max(x, y)), x, y) == ({"max": 1} if tied else {})


def test_integers_have_no_kink():
    tokens = np.asarray([0, 1, 0], np.int32)
    assert found_in(lambda x, t: jnp.sum(x[jnp.maximum(t, 0)]), X[0], tokens) == {}


def test_the_best_of_a_window_counts_once_however_many_reach_it():
    x = np.asarray([[2.0, 2.0, 2.0, 1.0], [0.0, 1.0, 1.0, 0.0]], np.float32)

    def overlapping(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3), (1, 1), "VALID")

    # Of the first row both windows, of the second too: its 1 twice.
    assert found_in(overlapping, x) == {"reduce_window_max": 4}
    x[1] = [0, 1, 2, 3]
    assert found_in(overlapping, x) == {"reduce_window_max": 2}


def test_the_padding_of_a_window_ties_with_nothing():
    def padded(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (3,), (3,), ((2, 2),))

    assert found_in(padded, np.asarray([-np.inf, 5.0], np.float32)) == {}
    x = np.asarray([1.0, 5.0, 5.0, 2.0, 2.0], np.float32)
    assert found_in(padded, x) == {"reduce_window_max": 1}


def test_minima_of_windows():
    def smallest(x):
        return lax.reduce_window(x, jnp.inf, lax.min, (2,), (1,), "VALID")

    x = np.asarray([1.0, 1.0, 2.0, 0.0], np.float32)
    assert found_in(smallest, x) == {"reduce_window_min": 1}


def test_the_line_is_the_persons_own():
    def loss(x):
        y = 2 * x
        return jnp.sum(jax.nn.relu(y))

    (tie,) = ties(loss, [jnp.zeros(3)])
    first = inspect.getsourcelines(loss)[1]
    assert tie == Ties("relu", f"{__file__}:{first + 2}", 3)


def test_a_function_of_the_persons_own_is_entered_under_jit():
    @jax.jit
    def own(x):
        return lax.abs(x)

    (tie,) = ties(lambda x: jnp.sum(own(x)), [jnp.zeros(3)])
    assert (tie.name, tie.entries) == ("abs", 3)
    assert tie.site == f"{__file__}:{inspect.getsourcelines(own)[1] + 2}"


def test_every_kink_is_told_by_itself():
    def loss(x):
        return jnp.sum(lax.abs(x) + lax.max(x, 1.0)) + jnp.sum(lax.abs(x - 1))

    x = np.asarray([0.0, 0.0, 1.0], np.float32)
    found = [(tie.name, tie.entries) for tie in ties(loss, [x])]
    assert found == [("abs", 2), ("max", 1), ("abs", 1)]


def test_what_has_no_kink_has_no_ties():
    def called(x):
        return jnp.sum(jax.jit(lax.abs)(x))

    x = jnp.zeros(3)
    assert has_kinks(called, x)
    assert ties(called, [x])
    for smooth in (lambda x: jnp.sum(jnp.tanh(x) ** 2), lambda x: jnp.sum(x * (jnp.arange(3) > 1))):
        assert not has_kinks(smooth, x)
        assert not ties(smooth, [x])


def test_loops_and_branches_are_not_entered():
    def looped(x):
        return lax.scan(lambda c, t: (c + jax.nn.relu(t), None), 0.0, x)[0]

    assert found_in(looped, np.zeros(3, np.float32)) == {}


@pytest.mark.parametrize(
    ("tie", "text"),
    [
        (Ties("max", "loss.py:3", 1), "1 entry sits on the kink of max (loss.py:3)"),
        (Ties("relu", "", 4), "4 entries sit on the kink of relu (no source)"),
    ],
)
def test_in_words(tie, text):
    assert str(tie) == text


def test_perturbed_moves_every_floating_entry_a_little():
    small, large = np.full(1000, 1e-3), np.full((50, 20), 1e3)
    for x, moved in zip((small, large), perturbed([small, large], seed=1), strict=True):
        assert moved.shape == x.shape
        assert np.std(moved / x - 1) == pytest.approx(1e-4, rel=0.2)
        assert (moved != x).all()


def test_perturbed_moves_zeros_and_leaves_what_is_not_floating():
    key, tokens = jax.random.key(0), np.arange(3)
    zeros, same_tokens, same_key, empty = perturbed([np.zeros(5), tokens, key, np.ones(0)], seed=1)
    assert (np.abs(zeros) > 0).all()
    assert np.abs(zeros).max() < 1e-3
    assert same_tokens is tokens
    assert same_key is key
    assert empty.shape == (0,)


def test_the_seed_decides_how_they_move():
    (one,), (again,), (other,) = (perturbed([np.ones(3)], seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_moved_off_the_kink_there_is_no_tie():
    assert found_in(jax.nn.relu, *perturbed([np.zeros(20)], seed=1)) == {}


def test_a_bound_of_clamp_is_a_kink():
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    [found] = ties(lambda x: jax.lax.clamp(0.0, x, 1.0).sum(), [x])
    assert (found.name, found.entries) == ("clamp", 2)


def test_dilated_windows_are_left_out():
    def pooled(x):
        return jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (2,), (1,), "VALID", (2,), (2,)
        ).sum()

    assert ties(pooled, [np.array([1.0, 1.0, 1.0])]) == []


@pytest.mark.parametrize("shape", [(300, 200), (400, 200)])
def test_random_numbers_have_mean_0_and_size_1_few_or_many(shape):
    drawn = random_numbers(np.random.default_rng(0), shape)
    assert drawn.shape == shape
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    assert len(np.unique(drawn)) > 0.99 * drawn.size, "a tie does not stay one"
    assert abs(np.mean(drawn[1:] * drawn[:-1])) < 0.02, "each by itself"
