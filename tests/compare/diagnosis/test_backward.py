import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.diagnosis.backward import Backward
from compare.diagnosis.tape import record

RNG = np.random.default_rng(0)
A, B, C = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 2)), RNG.standard_normal(2)
LEAVES = {"a": A, "b": B, "c": C}
X = RNG.standard_normal((4, 2))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def backward_of(loss):
    with jax.enable_x64(True):
        return Backward(record(loss, LEAVES, [X]))


def place_of(backward, name, operand=0):
    """The only place of that operand of an equation of this name."""
    equations = backward.tape.equations
    (place,) = [p for p in backward.places() if equations[p[0]].name == name and p[1] == operand]
    return place


def network(leaves, constants):
    """sin at the bottom, a product with b, and c added at the top."""
    a, b, c = leaves
    (x,) = constants
    return jnp.sum((jnp.sin(a) @ b + c) * x)


def shared(leaves, constants):
    a, b, c = leaves
    return jnp.sum(a @ b + (a @ b) ** 2 * jnp.exp(c)) + jnp.sum(a * a)


def looked_up(leaves, constants):
    a, b, _ = leaves
    return jnp.sum(a[jnp.asarray([0, 2, 0])] @ b)


def split_and_sorted(leaves, constants):
    a, b, c = leaves
    one, other = jnp.split(a, 2)
    return jnp.sum(one * jnp.sort(other, axis=1)) + jnp.sum(b) * c[0]


def looped(leaves, constants):
    a, _, c = leaves
    return jnp.sum(lax.fori_loop(0, 70, lambda i, h: jnp.sin(h) + h[0], a) * c[0])


def in_fourier(leaves, constants):
    a, b, _ = leaves
    turned = jnp.fft.fft(a, axis=0) * jnp.exp(1j * b.sum(axis=1))
    return jnp.sum(jnp.fft.ifft(turned, axis=0).real ** 3) + jnp.sum(jnp.abs(turned))


def complex_states(leaves, constants):
    a, _, c = leaves
    h, hs = lax.scan(lambda h, x: (h * jnp.exp(1j * c) + x[:2],) * 2, jnp.zeros(2) + 0j, a)
    return jnp.sum(jnp.abs(h) ** 2) + jnp.sum(hs.real)


@pytest.mark.parametrize(
    "loss",
    [network, shared, looked_up, split_and_sorted, looped, in_fourier, complex_states],
)
def test_the_unchanged_backward_pass_is_jax_grad(loss):
    found = backward_of(loss).gradient()
    grads = jax.jit(jax.grad(loss))(list(LEAVES.values()), [X])
    right = dict(zip(LEAVES, grads, strict=True))
    assert list(found) == list(LEAVES)
    for path, expected in right.items():
        assert found[path] == pytest.approx(np.asarray(expected), rel=1e-13, abs=1e-13), path


def test_a_leaf_that_the_loss_does_not_use_has_a_gradient_of_zero():
    found = backward_of(looked_up).gradient()
    assert np.array_equal(found["c"], np.zeros(2))


@pytest.mark.parametrize(
    ("name", "operand", "changed"),
    [
        ("sin", 0, {"a"}),
        ("dot_general", 0, {"a"}),
        ("dot_general", 1, {"b"}),
        ("mul", 0, {"a", "b", "c"}),
    ],
)
def test_a_changed_pullback_changes_the_leaves_upstream_and_no_other(name, operand, changed):
    backward = backward_of(network)
    right = backward.gradient()
    wrong = backward.gradient({place_of(backward, name, operand): lambda edge: 3 * edge.d_input})
    for path in LEAVES:
        factor = 3 if path in changed else 1
        assert np.allclose(wrong[path], factor * right[path], rtol=1e-14, atol=0), path


def test_several_pullbacks_change_at_once():
    backward = backward_of(network)
    right = backward.gradient()
    rules = {
        place_of(backward, "sin"): lambda edge: 2 * edge.d_input,
        place_of(backward, "dot_general", 0): lambda edge: -edge.d_input,
        place_of(backward, "dot_general", 1): lambda edge: 0 * edge.d_input,
    }
    wrong = backward.gradient(rules)
    assert np.allclose(wrong["a"], -2 * right["a"], rtol=1e-14, atol=0)
    assert not wrong["b"].any()
    assert np.array_equal(wrong["c"], right["c"])


def test_a_pass_is_given_up_at_the_first_leaf_that_does_not_fit():
    backward = backward_of(network)
    rules = {place_of(backward, "mul"): lambda edge: 3 * edge.d_input}
    wanted, asked = backward.gradient(rules), []

    def fits(path, leaf):
        asked.append(path)
        return np.array_equal(leaf, wanted[path])

    found = backward.fitting(rules, fits)
    assert found is not None
    assert all(np.array_equal(found[path], wanted[path]) for path in LEAVES)
    assert asked[0] == "c", "which is added last, and so is known first"
    assert sorted(asked) == ["a", "b", "c"], "each as soon as it is complete"
    asked.clear()
    assert backward.fitting(rules, lambda path, leaf: fits(path, leaf) and path != "c") is None
    assert asked == ["c"]


def test_a_changed_pass_leaves_the_right_one_as_it_was():
    backward = backward_of(network)
    before = {path: g.copy() for path, g in backward.gradient().items()}
    for place in backward.places():
        backward.gradient({place: lambda edge: np.full_like(edge.d_input, 7.0)})
    for path, g in backward.gradient().items():
        assert np.array_equal(g, before[path])
        assert np.array_equal(backward.gradient({})[path], before[path])


def test_each_use_of_a_value_is_a_place_of_its_own():
    """a · a: with one of its two uses cut, half of the derivative is left."""

    def square(leaves, constants):
        return jnp.sum(leaves[0] * leaves[0])

    backward = Backward(record(square, {"a": A}, []))
    for operand in (0, 1):
        place = place_of(backward, "mul", operand)
        cut = backward.gradient({place: lambda edge: np.zeros_like(edge.d_input)})
        assert np.array_equal(cut["a"], A)
    assert np.array_equal(backward.gradient()["a"], 2 * A)


def test_places_are_where_a_parameter_reaches_the_loss():
    def loss(leaves, constants):
        (a,), (x, rows) = leaves, constants
        unused = jnp.exp(a)
        del unused
        return jnp.sum(jnp.tanh(x) * a[rows])

    backward = Backward(record(loss, {"a": A}, [X[:3, :1], np.asarray([0, 2, 0])]))
    equations = backward.tape.equations
    found = [(equations[index].name, operand) for index, operand in backward.places()]
    assert found == [("gather", 0), ("mul", 1), ("reduce_sum", 0)]


def test_an_edge_is_what_the_pullback_sees():
    backward = backward_of(network)
    edge = backward.edge(place_of(backward, "sin"))
    assert (edge.equation.name, edge.operand) == ("sin", 0)
    assert np.array_equal(edge.value, A)
    assert edge.output == pytest.approx(np.sin(A), rel=1e-15)
    assert edge.d_output == pytest.approx(X @ B.T, rel=1e-13)
    assert edge.d_input == pytest.approx(np.cos(A) * (X @ B.T), rel=1e-13)


def test_an_edge_tells_the_derivative_at_other_values():
    backward = backward_of(network)
    edge = backward.edge(place_of(backward, "sin"))
    assert edge.slope(A) == pytest.approx(np.cos(A), rel=1e-14)
    assert edge.slope(2 * A) == pytest.approx(np.cos(2 * A), rel=1e-14)
    assert edge.with_input(2 * A) == pytest.approx(np.cos(2 * A) * edge.d_output, rel=1e-14)
    assert edge.value is backward.tape.values[edge.equation.inputs[0]], "nothing is changed"


def test_another_input_of_the_equation_may_be_another():
    backward = backward_of(network)
    edge = backward.edge(place_of(backward, "dot_general", 0))
    assert edge.with_input(-B, operand=1) == pytest.approx(-X @ B.T, rel=1e-13)
    both = edge.pull([2 * edge.inputs[0], edge.inputs[1]], 10 * edge.d_output)
    assert both[0] == pytest.approx(10 * X @ B.T, rel=1e-13)
    assert both[1] == pytest.approx(20 * np.sin(A).T @ X, rel=1e-13)


def test_of_an_equation_with_several_outputs_an_edge_has_the_first():
    backward = backward_of(split_and_sorted)
    edge = backward.edge(place_of(backward, "split"))
    assert np.array_equal(edge.output, A[:2])
    assert edge.d_output == pytest.approx(np.sort(A[2:], axis=1), rel=1e-15)
    changed = edge.pull(edge.inputs, 0 * edge.d_output)[0]
    assert not changed[:2].any()
    assert np.array_equal(changed[2:], edge.d_input[2:])


def test_a_mistake_may_divide_by_zero():
    backward = backward_of(network)
    place = place_of(backward, "sin")
    wrong = backward.gradient({place: lambda edge: edge.d_input / np.zeros_like(edge.value)})
    assert np.isinf(wrong["a"]).all()
    assert np.isfinite(wrong["b"]).all()


def test_the_right_pass_goes_no_further_down_than_it_is_asked_for():
    backward = Backward(backward_of(network).tape)
    whole = [*backward_of(network).places()]
    last = max(whole)
    assert [*backward.places(last[0])] == [place for place in whole if place[0] >= last[0]]
    assert last in backward._contributions
    assert min(whole) not in backward._contributions
    assert [*backward.places()] == whole
    assert backward.contributions.keys() == backward_of(network).contributions.keys()
