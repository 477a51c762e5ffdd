import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual.rules._threefry import bernoulli


def by_jax(key, probability, shape):
    return jax.random.bernoulli(key, jnp.float32(probability), shape)


@pytest.mark.table
@pytest.mark.parametrize("shape", [(), (1,), (7, 5), (3, 1, 33), (0, 4)])
@pytest.mark.parametrize("probability", [0.0, 1e-9, 0.3, 0.5, 0.7, 1 - 2.0**-24, 1.0])
def test_bit_for_bit_as_jax_draws(shape, probability):
    key = jax.random.key(3)
    expected = by_jax(key, probability, shape)
    np.testing.assert_array_equal(bernoulli(key, probability, shape), expected)


def test_on_a_cpu_jax_is_not_asked():
    lowered = jax.jit(lambda key: bernoulli(key, 0.7, (8, 9))).lower(jax.random.key(0))
    assert "while" not in lowered.as_text(), "JAX's own rounds are a loop"
    assert (
        "while" in jax.jit(lambda key: by_jax(key, 0.7, (8, 9))).lower(jax.random.key(0)).as_text()
    )


def test_the_mask_does_not_depend_on_x64():
    expected = bernoulli(jax.random.key(1), 0.7, (40,))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(bernoulli(jax.random.key(1), 0.7, (40,)), expected)


def test_a_key_for_each_example():
    keys = jax.random.split(jax.random.key(5), 6)
    own = jax.vmap(lambda key: bernoulli(key, 0.4, (11,)))(keys)
    np.testing.assert_array_equal(own, [by_jax(key, 0.4, (11,)) for key in keys])


@pytest.mark.parametrize("implementation", ["rbg", "unsafe_rbg"])
def test_keys_of_other_generators_are_left_to_jax(implementation):
    key = jax.random.key(2, impl=implementation)
    np.testing.assert_array_equal(bernoulli(key, 0.6, (50,)), by_jax(key, 0.6, (50,)))


def test_without_partitionable_counters_it_is_left_to_jax():
    with jax.threefry_partitionable(False):
        key = jax.random.key(2)
        np.testing.assert_array_equal(bernoulli(key, 0.6, (50,)), by_jax(key, 0.6, (50,)))
