import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.diagnosis.backward import Backward
from compare.diagnosis.tape import MOST_UNROLLED, record
from compare.mutants.gallery import originals
from compare.trees import Layout, by_path, cast


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def tape_of(loss, params, *args):
    """The tape of loss(params, *args) and its parameters by path, in float64."""
    layout = Layout((params, args))
    arrays = [cast(x, np.float64) for x in layout.arrays((params, args))]
    leaves = by_path(layout.rebuild(arrays)[0])

    def of_leaves(own, constants):
        params, args = layout.rebuild([*own, *constants])
        return loss(params, *args)

    return record(of_leaves, leaves, arrays[len(leaves) :]), layout.rebuild(arrays)


@pytest.mark.table
@pytest.mark.parametrize("subject", originals(), ids=lambda s: s.loss.__name__)
def test_the_unchanged_backward_pass_is_jax_grad(subject):
    tape, (params, args) = tape_of(subject.loss, *subject.make(0))
    loss, gradient = jax.jit(jax.value_and_grad(subject.loss))(params, *args)
    assert np.isclose(tape.values[tape.loss], loss, rtol=1e-14)
    found = Backward(tape).gradient()
    for path, expected in by_path(gradient).items():
        # Both add the same few dozen float64 terms, in another order.
        assert np.abs(found[path] - expected).max() <= 1e-13 * max(1, np.abs(expected).max())


def test_short_scans_are_unrolled_and_long_ones_kept():
    def loss(w, xs):
        return lax.scan(lambda h, x: (jnp.tanh(w * h + x), None), w, xs)[0]

    short, _ = tape_of(loss, np.float64(0.3), np.ones(4))
    assert [e.name for e in short.equations].count("tanh") == 4
    assert {e.step for e in short.equations if e.name == "tanh"} == {(0, t) for t in range(4)}
    # Three equations a step: it is their number that counts.
    longer, _ = tape_of(loss, np.float64(0.3), np.ones(MOST_UNROLLED // 3))
    assert "scan" not in {e.name for e in longer.equations}
    longest, _ = tape_of(loss, np.float64(0.3), np.ones(MOST_UNROLLED // 3 + 1))
    assert [e.name for e in longest.equations] == ["scan"]


def causal(w, xs):
    """The first two of xs count, and the third one doubles."""

    def turn(h, t):
        doubled = lax.cond(t == 2, lambda h: 2.0 * h, lambda h: h, h)
        return lax.cond(t < 2, lambda h: jnp.tanh(w * h + xs[t]), lambda h: h, doubled), None

    xs = jnp.asarray(xs)
    return lax.scan(turn, w, jnp.arange(len(xs)))[0]


def test_of_a_choice_there_is_the_branch_that_is_taken():
    w, xs = np.float64(0.3), np.linspace(0.1, 0.9, 4)
    tape, _ = tape_of(causal, w, xs)
    names = [e.name for e in tape.equations]
    assert names.count("tanh") == 2
    assert "cond" not in names
    assert np.isclose(tape.values[tape.loss], causal(w, xs), rtol=1e-14)
    (found,) = Backward(tape).gradient().values()
    assert np.isclose(found, jax.grad(causal)(w, xs), rtol=1e-13)


def test_a_choice_is_by_what_an_input_is():
    def loss(w):
        return lax.switch(jnp.int32(w), [jnp.sin, jnp.cos, jnp.exp, jnp.tanh], w)

    for w, name in ((-3.5, "sin"), (1.5, "cos"), (3.5, "tanh"), (9.0, "tanh")):
        assert [e.name for e in tape_of(loss, np.float64(w))[0].equations][-1] == name


def test_a_scan_within_a_scan_counts_as_often_as_it_runs():
    def loss(w, xs):
        def row(h, x):
            return lax.scan(lambda h, x: (jnp.tanh(w * h + x), None), h, x)[0], None

        return lax.scan(row, w, xs)[0]

    tape, _ = tape_of(loss, np.float64(0.3), np.ones((3, 4)))
    assert [e.name for e in tape.equations].count("tanh") == 12
    tape, _ = tape_of(loss, np.float64(0.3), np.ones((40, 40)))
    assert [e.name for e in tape.equations] == ["scan"]


def test_library_functions_of_one_array_are_kept_whole():
    def loss(w):
        return jnp.sum(jax.nn.gelu(w)) + jnp.sum(jax.nn.softmax(w)[:, 0]) + jax.nn.relu(w).mean()

    tape, _ = tape_of(loss, np.ones((3, 4)))
    assert [e.name for e in tape.equations if e.whole] == ["gelu", "softmax", "relu"]
    assert all("test_tape.py:" in e.site for e in tape.equations if e.whole)


def test_a_changed_pullback_changes_what_is_upstream_and_nothing_else():
    def loss(params):
        return jnp.sum(jnp.sin(params["a"]) * params["b"])

    params = {"a": np.ones(3), "b": np.full(3, 2.0)}
    tape, _ = tape_of(loss, params)
    backward = Backward(tape)
    (place,) = [p for p in backward.places() if tape.equations[p[0]].name == "sin"]
    changed = backward.gradient({place: lambda edge: -edge.d_input})
    assert np.array_equal(changed["a"], -backward.gradient()["a"])
    assert np.array_equal(changed["b"], backward.gradient()["b"])


def test_a_derivative_ends_at_integers():
    def loss(params):
        largest = jnp.argmax(params["x"])
        return jnp.sum(params["y"] * jax.nn.one_hot(largest, 4))

    tape, _ = tape_of(loss, {"x": jnp.arange(4.0), "y": jnp.ones(4)})
    assert tape.leaves_of[tape.loss] == {"y"}


def test_two_calls_on_one_line_are_two_functions():
    def loss(leaves, _):
        return jax.nn.gelu(jax.nn.gelu(leaves[0])).sum()

    tape = record(loss, {"x": np.ones(3)}, [])
    assert [e.name for e in tape.equations if e.whole] == ["gelu", "gelu"]


def test_functions_that_differ_in_their_numbers_alone_have_their_own_pullbacks():
    def loss(w):
        return jnp.sum(jnp.clip(w, -1.0, 1.0) ** 2 + jnp.clip(w, -0.1, 0.1) ** 3)

    w = np.linspace(-1.3, 1.4, 7)
    tape, _ = tape_of(loss, w)
    assert [e.name for e in tape.equations].count("clip") == 2
    (found,) = Backward(tape).gradient().values()
    assert np.allclose(found, jax.grad(loss)(w), rtol=1e-14, atol=0)


def test_functions_that_differ_in_what_they_hold_have_their_own_pullbacks():
    held = np.arange(1.0, 5.0).reshape(2, 2)
    one, other = (jax.jit(lambda x, c=c: x * c) for c in held)
    w = np.asarray([0.3, -0.7])
    tape, _ = tape_of(lambda w: jnp.sum(one(w) ** 2 + other(w) ** 3), w)
    (found,) = Backward(tape).gradient().values()
    expected = 2 * w * held[0] ** 2 + 3 * w**2 * held[1] ** 3
    assert np.allclose(found, expected, rtol=1e-14, atol=0)
