"""An equation is solved for one operand; what cannot be told is NaN, or None."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.limits import Limit
from compare.diagnosis.locating.expectations import expected_operand, same
from compare.diagnosis.tape import record_results
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.watch import watch
from compare.diagnosis.watching.watcher import graph_of
from tests.compare.diagnosis.locating import entry_by_entry as entries
from tests.compare.diagnosis.watching import recurrent

A, B = np.random.default_rng(0).standard_normal((2, 3, 4))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def solved(fn, name, operand, change=lambda out: out):
    """What the operand should be for `change(the output)`, and what it is."""
    graph = Graph(record_results(lambda: {"out": fn()}))
    (equation,) = (e for e in graph.equations if e.name == name)
    inputs = [graph.values[s] for s in equation.inputs]
    out = change(np.asarray(graph.values[equation.outputs[0]], float))
    return expected_operand(equation, operand, inputs, out), inputs[operand]


@pytest.mark.parametrize(
    ("fn", "name", "operand"),
    [
        (lambda: jnp.add(A, B), "add", 0), (lambda: jnp.add(A, B), "add", 1),
        (lambda: jnp.subtract(A, B), "sub", 0), (lambda: jnp.subtract(A, B), "sub", 1),
        (lambda: jnp.multiply(A, B), "mul", 0), (lambda: jnp.multiply(A, B), "mul", 1),
        (lambda: jnp.divide(A, B), "div", 0), (lambda: jnp.divide(A, B), "div", 1),
        (lambda: jnp.negative(A), "neg", 0), (lambda: jnp.asarray(A).T, "transpose", 0),
        (lambda: jnp.asarray(A).reshape(2, 6), "reshape", 0),
        (lambda: jnp.concatenate([A, B], 1), "concatenate", 1),
        (lambda: jnp.stack([A, B], 2), "stack", 1),
        (lambda: jnp.broadcast_to(A[:, :1], (3, 4)), "broadcast_in_dim", 0),
    ],
)  # fmt: skip
def test_the_right_result_gives_the_operand_back(fn, name, operand):
    found, value = solved(fn, name, operand)
    assert found is not None
    assert np.allclose(found, value, rtol=1e-12)


def test_which_entries_are_read_is_not_solved_for():
    places = jnp.array([2, 0, 1])
    found, _ = solved(lambda: jnp.asarray(A)[places], "gather", 1)
    assert found is None
    found, value = solved(lambda: jnp.asarray(A)[places], "gather", 0)
    assert found is not None
    assert np.array_equal(found, value)


def test_a_selection_tells_only_what_it_selects():
    found, value = solved(lambda: jnp.where(A > 0, A, B), "select_n", 2)
    assert found is not None
    assert np.array_equal(np.isnan(found), A <= 0)
    assert same(value, found)


def test_copies_that_should_differ_tell_nothing():
    found, _ = solved(lambda: jnp.broadcast_to(A[:, :1], (3, 4)), "broadcast_in_dim", 0,
                      lambda out: out + B)  # fmt: skip
    assert found is None


def test_complex_numbers_are_solved_for_with_both_parts():
    complex_a = A + 1j * B
    graph = Graph(record_results(lambda: {"out": jnp.asarray(complex_a) * (2 + B * 1j)}))
    (equation,) = (e for e in graph.equations if e.name == "mul")
    inputs = [graph.values[s] for s in equation.inputs]
    out = graph.values[equation.outputs[0]]
    found = expected_operand(equation, 0, inputs, out)
    assert found is not None
    assert np.allclose(found, complex_a, rtol=1e-12)
    # What is real cannot become complex.
    assert expected_operand(equation, 0, [A, *inputs[1:]], out) is None


def test_a_product_is_not_solved():
    assert solved(lambda: jnp.asarray(A) @ B.T, "dot_general", 0)[0] is None


def test_where_an_index_should_point_is_not_solved():
    for array in (A, np.arange(12).reshape(3, 4)):
        rows = lambda own=array: jnp.take(own, jnp.asarray([2, 0, 0]), axis=0)  # noqa: E731
        assert solved(rows, "gather", 1)[0] is None
        assert solved(rows, "gather", 0)[0] is not None


def test_agreement_is_to_rounding_where_it_is_known():
    assert same(A, A * (1 + 1e-12))
    assert not same(A, A * (1 + 1e-6))
    assert not same(A, B)
    assert not same(A, A.T)
    assert same(A + 1j * B, A + 1j * B * (1 + 1e-12))
    assert not same(A + 1j * B, A - 1j * B)
    assert not same(A, A + 1j * B)
    assert same(A, np.where(A > 0, A, np.nan))


def test_an_array_of_which_an_entry_was_taken():
    def candidate():
        return {"out": np.array(A)[1, ::-1]}

    graph = graph_of(candidate, ["out"], Limit(10.0))
    (equation,) = (e for e in graph.equations if e.name == "item")
    found = expected_operand(equation, 0, [A], np.arange(4.0))
    assert found is not None
    np.testing.assert_array_equal(found[1], [3, 2, 1, 0])
    assert np.isnan(found[[0, 2]]).all()


def test_what_is_written_and_what_it_is_written_to():
    def candidate():
        out = np.array(A)
        out[[2, 0]] = np.sin(B[:2])
        return {"out": out}

    graph = graph_of(candidate, ["out"], Limit(10.0))
    (equation,) = (e for e in graph.equations if e.name == "set_item")
    inputs = [A, np.sin(B[:2])]
    target, value = (expected_operand(equation, i, inputs, equation.fn(*inputs)[0]) for i in (0, 1))
    assert target is not None
    assert value is not None
    assert np.isnan(target[[0, 2]]).all()
    np.testing.assert_array_equal(target[1], A[1])
    np.testing.assert_array_equal(value, inputs[1])


def test_the_summand_that_the_turn_before_hands_on(case_of):
    found = watch(*case_of(recurrent.hands_on_too_much, recurrent.loss, recurrent.PARAMS,
                           (recurrent.XS,)))  # fmt: skip
    assert found.suspects[0] == recurrent.line_of("# wrong: dz is handed on")


def test_zeros_that_are_written_to_are_not_solved_for():
    def candidate():
        out = np.zeros_like(A)
        out[[0, 2]] = np.sin(B[:2])
        return {"out": out}

    graph = graph_of(candidate, ["out"], Limit(10.0))
    (equation,) = (e for e in graph.equations if e.name == "set_item")
    inputs = [np.zeros_like(A), np.sin(B[:2])]
    assert expected_operand(equation, 0, inputs, A) is None
    assert expected_operand(equation, 1, inputs, A) is not None


def test_what_is_added_to_zeros_is_written_there():
    target = np.where(np.arange(4) < 2, A, 0.0)
    for columns, known in ((jnp.asarray([3, 2]), True), (jnp.asarray([3, 1]), False),
                           (jnp.asarray([3, 3]), False)):  # fmt: skip
        graph = Graph(record_results(
            lambda own=columns: {"out": jnp.asarray(target).at[:, own].add(B[:, :2])}
        ))  # fmt: skip
        (equation,) = (e for e in graph.equations if e.name == "scatter-add")
        inputs = [np.asarray(graph.values[s]) for s in equation.inputs]
        out = np.asarray(graph.values[equation.outputs[0]])
        found = expected_operand(equation, len(inputs) - 1, inputs, out)
        assert (found is not None) == known
        assert found is None or np.array_equal(found, inputs[-1])
    untouched = expected_operand(equation, 0, inputs, out)
    assert untouched is not None
    assert np.array_equal(np.isnan(untouched), np.zeros((3, 4)) + (np.arange(4) == 3))


@pytest.mark.parametrize(
    ("candidate", "loss", "point", "mistake"),
    [
        (entries.without_the_two, entries.loss_of_pooling, (entries.SCALES, entries.IMAGES),
         "the two of the square"),
        (entries.in_jax_without_the_two, entries.loss_of_pooling,
         (entries.SCALES, entries.IMAGES), "the two, in jax"),
        (entries.with_a_wrong_slope, entries.loss_of_parts, (entries.FLAT, entries.ROWS),
         "the slope of tanh"),
    ],
)  # fmt: skip
def test_what_is_written_entry_by_entry_is_followed(candidate, loss, point, mistake, case_of):
    kind = jnp.asarray if "jax" in candidate.__name__ else np.asarray

    def by_hand(params, given):
        value, gradient = candidate(*(kind(x) for x in (params["p"], given)))
        return value, {"p": gradient}

    params, given = point
    case = case_of(by_hand, lambda params, given: loss(params["p"], given), {"p": params}, (given,))
    assert watch(*case).suspects[0] == entries.line_of(mistake)
