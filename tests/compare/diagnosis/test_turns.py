import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.diagnosis import backward as walk
from compare.diagnosis import turns
from compare.diagnosis.backward import Backward
from compare.diagnosis.tape import record

RNG = np.random.default_rng(0)
TURNS = 70
LEAVES = {
    "w": RNG.standard_normal((2, 2)),
    "b": RNG.standard_normal((TURNS, 2)),
    "h": RNG.standard_normal(2),
}
X = RNG.standard_normal((TURNS, 2))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def loss(leaves, constants, *, turns, reverse, only_states=False, only_outputs=False):
    """A state, a count, an array of the constants and one of the leaves, entry by entry."""
    w, b, h = leaves
    (x,) = constants

    def turn(state, entries):
        h, count = state
        x, b = entries
        h = jnp.tanh(h @ w + x * b + h)
        return (h, count + 1), (h * b, h, state[0], count)

    xs = (x[:turns], b[:turns])
    (last, count), (products, states, given, counts) = lax.scan(turn, (h, 0), xs, reverse=reverse)
    of_outputs = jnp.sum(products * x[:turns]) + jnp.sum(states**3) + jnp.sum(jnp.sin(given))
    of_outputs += jnp.sum(counts * given[:, 0])
    of_states = jnp.sum(last**2) * count + jnp.sum(h)
    return of_states * (not only_outputs) + of_outputs * (not only_states)


def backward_of(**how):
    return Backward(record(functools.partial(loss, **how), LEAVES, [X]))


@pytest.mark.parametrize(
    "how",
    [
        {"reverse": False},
        {"reverse": True},
        {"reverse": False, "only_states": True},
        {"reverse": True, "only_outputs": True},
    ],
)
def test_all_turns_at_once_hand_back_what_they_do_one_by_one(how, monkeypatch):
    at_once = backward_of(turns=TURNS, **how)
    monkeypatch.setattr(walk, "is_one_program", lambda tape, loop: False)
    one_by_one = backward_of(turns=TURNS, **how)
    found, expected = at_once.contributions, one_by_one.contributions
    assert found.keys() == expected.keys()
    for place, own in expected.items():
        np.testing.assert_allclose(found[place], own, rtol=1e-12, atol=1e-12)
    assert at_once.cotangents.keys() == one_by_one.cotangents.keys()
    for path, own in one_by_one.gradient().items():
        np.testing.assert_allclose(at_once.gradient()[path], own, rtol=1e-12, atol=1e-12)


def test_a_changed_pass_goes_on_from_where_a_turn_is_changed():
    backward = backward_of(turns=TURNS, reverse=False)
    right = backward.gradient()
    equations = backward.tape.equations
    place = next(p for p in backward.places() if equations[p[0]].step == (0, 40))
    wrong = backward.gradient({place: lambda edge: 2 * edge.d_input})
    np.testing.assert_array_equal(wrong["b"][41:], right["b"][41:])
    assert not np.allclose(wrong["b"][:41], right["b"][:41])
    np.testing.assert_array_equal(backward.gradient()["h"], right["h"])


def test_a_loop_of_few_turns_or_of_keys_is_walked():
    few = record(functools.partial(loss, turns=5, reverse=False), LEAVES, [X])
    assert not any(turns.is_one_program(few, loop) for loop in few.forward.loops)

    def of_keys(leaves, constants):
        def turn(h, key):
            return h * jax.random.uniform(key), None

        keys = jax.random.split(jax.random.key(0), TURNS)
        return jnp.sum(lax.scan(turn, leaves[0], keys)[0])

    tape = record(of_keys, LEAVES, [X])
    assert tape.forward.loops
    assert not any(turns.is_one_program(tape, loop) for loop in tape.forward.loops)
