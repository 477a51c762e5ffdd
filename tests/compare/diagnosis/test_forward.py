import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.sides.float64 import float64_on_cpu
from compare.diagnosis import tape as tapes
from compare.diagnosis.tape import record

RNG = np.random.default_rng(0)
W, X = RNG.standard_normal((3, 3)), RNG.standard_normal((4, 3))


def plain(w, constants):
    (x,) = constants
    return jnp.sum(jnp.tanh(x @ w[0]))


def states_and_results(w, constants):
    """A state that is a constant and a parameter at once, and results of every kind."""
    (x,) = constants
    w = w[0]

    def turn(states, row):
        h, same = states
        new = jnp.tanh(row @ w + h @ same)
        return (new, same), (h, row, new * 2, x[0], row.sum())

    (h, _), results = jax.lax.scan(turn, (x[0], w), x)
    return jnp.sum(h) + sum(jnp.sum(r * (i + 1)) for i, r in enumerate(results))


def backwards(w, constants):
    (x,) = constants

    def turn(h, row):
        new = jnp.sin(h + row @ w[0])
        return new, new * row

    h, rows = jax.lax.scan(turn, x[0], x, reverse=True)
    return jnp.sum(h) + jnp.sum(rows * jnp.arange(4.0)[:, None])


def one_in_another(w, constants):
    (x,) = constants

    def outer(h, row):
        def inner(g, entry):
            g = jnp.tanh(g * entry + row @ w[0])
            return g, g * entry

        g, ys = jax.lax.scan(inner, h, row, reverse=True)
        return g * 0.5, ys

    h, ys = jax.lax.scan(outer, x[0], x)
    return jnp.sum(h) + jnp.sum(ys**2)


def without_state(w, constants):
    (x,) = constants
    return jnp.sum(jax.lax.map(lambda row: jnp.tanh(row @ w[0]), x))


def one_turn(w, constants):
    (x,) = constants

    def turn(h, row):
        def inner(g, entry):
            return g * entry + row @ w[0], g

        return jax.lax.scan(inner, h, row)

    return jnp.sum(jax.lax.scan(turn, x[0], x[:1])[1])


@pytest.mark.parametrize(
    "loss",
    [plain, states_and_results, backwards, one_in_another, without_state, one_turn],
    ids=lambda loss: loss.__name__,
)
def test_a_loop_gives_every_slot_the_value_that_its_equation_has(loss):
    with float64_on_cpu():
        tape = record(loss, {"w": W}, [X])
        values = tape.values
        assert values[tape.loss] == pytest.approx(float(loss([W], [X])), rel=1e-13)
        for equation in tape.equations:
            expected = equation.fn(*(values[slot] for slot in equation.inputs))
            for slot, value in zip(equation.outputs, expected, strict=True):
                np.testing.assert_allclose(values[slot], value, rtol=1e-13, atol=1e-15)
        for slot, value in enumerate(values):
            assert isinstance(value, np.ndarray)
            assert (tape.shapes[slot].shape, tape.shapes[slot].dtype) == (value.shape, value.dtype)


def test_what_is_compiled_does_not_grow_with_the_turns():
    def text(rows):
        x = np.tile(X, (rows, 1))
        with float64_on_cpu():
            return record(states_and_results, {"w": W}, [x]).forward.lowered.as_text()

    assert len(text(50)) < 1.2 * len(text(1))


def test_a_scan_of_too_many_equations_stays_one(monkeypatch):
    monkeypatch.setattr(tapes, "MOST_UNROLLED", 3)
    with float64_on_cpu():
        tape = record(backwards, {"w": W}, [X])
        assert "scan" in [equation.name for equation in tape.equations]
        assert tape.values[tape.loss] == pytest.approx(float(backwards([W], [X])), rel=1e-13)
