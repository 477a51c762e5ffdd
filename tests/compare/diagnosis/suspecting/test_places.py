"""The places of a tape: what one line makes is one, and each knows what is near."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.diagnosis.backward import Backward
from compare.diagnosis.suspecting.places import Places
from compare.diagnosis.tape import record

X = np.random.default_rng(0).standard_normal((3, 4))


def places_of(loss, first=0):
    return Places(Backward(record(lambda own, _: loss(*own), {"a": X}, [])), first)


def named(places, name):
    """The units of the equations of that name."""
    return [unit for unit in places.units if places.edges[unit[0]].equation.name == name]


def test_the_turns_of_a_loop_are_one_unit_and_lines_alike_one_kind():
    def loss(a):
        turns = lax.scan(lambda c, row: (c + jnp.sin(row).sum(), None), 0.0, a)[0]
        return turns + jnp.tanh(a).sum() + jnp.tanh(2 * a).sum()

    places = places_of(loss)
    assert [len(unit) for unit in named(places, "sin")] == [3]
    tanhs = {place for unit in named(places, "tanh") for place in unit}
    assert len(tanhs) == 2
    # Of a parameter it is another kind than of what is computed.
    assert [len(kind) for kind in places.kinds() if tanhs & {*kind}] == [1, 1]
    last = max(index for index, _ in places.edges)
    assert {index for index, _ in places_of(loss, last).edges} == {last}


def test_a_mean_is_told_from_another_division():
    places = places_of(lambda a: jnp.mean(a) + (a / 7).sum())
    assert sorted(places.is_mean(places.edges[unit[0]]) for unit in named(places, "div")) == [
        False, True
    ]  # fmt: skip


@pytest.mark.parametrize(("drawn", "expected"), [(True, True), (False, False)])
def test_what_is_next_to_a_random_mask_is_known(drawn, expected):
    def loss(a):
        mask = jax.random.bits(jax.random.key(0), a.shape) % 2 == 0 if drawn else a > 0
        return jnp.sum(jnp.where(mask, 2.0 * a, 0.0))

    places = places_of(loss)
    ((index, _), *_), *_ = named(places, "mul")
    assert places.touches_random(index) == expected
    assert bool(places.random) == expected


def test_random_noise_is_no_mask():
    def loss(a):
        noise = jax.random.normal(jax.random.key(0), a.shape)
        return jnp.sum(jnp.tanh((a + noise) * 0.7))

    places = places_of(loss)
    ((index, _), *_), *_ = named(places, "mul")
    assert places.random
    assert not places.touches_random(index)
