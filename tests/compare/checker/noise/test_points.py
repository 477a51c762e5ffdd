import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.noise.points import perturbed_points

RNG = np.random.default_rng(0)
UNIT = np.finfo(np.float32).eps


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_entry_moves_by_one_unit_in_its_last_place(dtype):
    x = jnp.asarray(RNG.standard_normal((30, 7)), dtype)
    [moved] = next(perturbed_points([np.asarray(x)], seed=0))
    assert moved.dtype == x.dtype
    up = np.asarray(jnp.nextafter(x, jnp.asarray(jnp.inf, dtype)))
    down = np.asarray(jnp.nextafter(x, jnp.asarray(-jnp.inf, dtype)))
    assert np.all((moved == up) | (moved == down))
    assert 0.3 < np.mean(moved == up) < 0.7


def test_zeros_whole_numbers_and_keys_stay():
    key = jax.random.key(0)
    zeros, numbers = np.zeros(3, np.float32), np.arange(3)
    moved = next(perturbed_points([zeros, numbers, key], seed=0))
    np.testing.assert_array_equal(moved[0], zeros)
    np.testing.assert_array_equal(moved[1], numbers)
    assert moved[2] is key


def test_float64_is_rounded_to_what_float32_can_represent():
    [moved] = next(perturbed_points([np.array(1 / 3)], seed=0))
    assert moved.dtype == np.float32
    assert moved.shape == ()
    assert abs(moved - 1 / 3) < 2 * UNIT


def test_the_seed_chooses_the_points_and_each_is_another():
    x = [RNG.standard_normal(50).astype(np.float32)]
    one, again, other = (perturbed_points(x, seed) for seed in (1, 1, 2))
    first = next(one)[0]
    np.testing.assert_array_equal(first, next(again)[0])
    assert not np.array_equal(first, next(other)[0])
    assert not np.array_equal(first, next(one)[0])


def test_points_may_be_written_into_the_arrays_of_earlier_ones():
    x = [RNG.standard_normal((9, 5)).astype(np.float32)]
    fresh, reused = perturbed_points(x, 3), perturbed_points(x, 3, at_once=2)
    points = []
    for _ in range(3):
        points.append(next(reused)[0])
        np.testing.assert_array_equal(points[-1], next(fresh)[0])
    assert points[2] is points[0]
    assert points[1] is not points[0]
