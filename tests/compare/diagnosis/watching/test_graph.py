"""A candidate's computation: which value comes from which, and what if one were another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.limits import Limit
from compare.diagnosis.tape import record_results
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.watcher import graph_of as watched
from tests.compare.diagnosis.watching import recurrent


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


X = np.asarray([0.3, -1.2, 0.7])


def graph_of(fn):
    return Graph(record_results(fn))


def two_leaves():
    a = jnp.sin(X)
    return {"one": a * 2, "other": jnp.cos(X) + a}


def test_the_values_are_those_of_the_function():
    graph = graph_of(two_leaves)
    for path, value in two_leaves().items():
        assert np.allclose(graph.values[graph.outputs[path]], value, rtol=1e-14)


def names(graph, indices):
    return {graph.equations[i].name for i in indices}


def test_every_leaf_is_the_first_output_of_an_equation():
    """Of a call that gives several, all but the first are given by an equation of their own."""

    def sorted_together():
        keys, others = jax.lax.sort((jnp.asarray(X), jnp.sin(X)), num_keys=1)
        return {"keys": keys, "others": others}

    graph = graph_of(sorted_together)
    for path, value in sorted_together().items():
        slot = graph.outputs[path]
        assert graph.equations[graph.maker[slot]].outputs == (slot,) or path == "keys"
        assert np.array_equal(graph.values[slot], value)
    assert names(graph, graph.ancestors([graph.outputs["others"]])) == {"sin", "sort", "copy"}


def test_what_a_leaf_comes_from():
    graph = graph_of(two_leaves)
    assert names(graph, graph.ancestors([graph.outputs["one"]])) == {"sin", "mul"}
    assert names(graph, graph.ancestors([graph.outputs["other"]])) == {"sin", "cos", "add"}
    (sine,) = (e.outputs[0] for e in graph.equations if e.name == "sin")
    assert names(graph, graph.ancestors([graph.outputs["one"]], stop=[sine])) == {"mul"}


def test_another_value_is_carried_on_to_what_was_asked_for():
    graph = graph_of(two_leaves)
    (sine,) = (e.outputs[0] for e in graph.equations if e.name == "sin")
    slots = list(graph.outputs.values())
    found = graph.run({sine: np.ones(3)}, slots)
    assert np.array_equal(found[graph.outputs["one"]], 2 * np.ones(3))
    assert np.allclose(found[graph.outputs["other"]], np.cos(X) + 1)


def test_one_reader_alone_gets_another_value():
    graph = graph_of(two_leaves)
    (sine,) = (e.outputs[0] for e in graph.equations if e.name == "sin")
    (reader,) = (i for i, e in enumerate(graph.equations) if e.name == "mul")
    found = graph.run({}, list(graph.outputs.values()), {(reader, sine): np.zeros(3)})
    assert not found[graph.outputs["one"]].any()
    assert np.allclose(found[graph.outputs["other"]], np.cos(X) + np.sin(X))


def test_the_turns_of_a_loop_are_one_group():
    def loop():
        a = X
        for _ in range(3):
            a = jnp.tanh(a)
        return {"a": jnp.sin(a)}

    graph = graph_of(loop)
    groups = graph.groups(range(len(graph.equations)))
    assert sorted((graph.equations[g[0]].name, len(g)) for g in groups) == [("sin", 1), ("tanh", 3)]


def test_two_calls_on_one_line_are_two_groups():
    graph = graph_of(lambda: {"a": jnp.tanh(jnp.tanh(X))})
    assert [len(g) for g in graph.groups(range(2))] == [1, 1]


def counted():
    totals, total = [], jnp.asarray(X)
    for _ in range(3):
        total = total * 2 + 1
        totals.append(total)
    return {"one": totals[-1]}


def test_one_turn_where_the_others_are_right():
    graph = graph_of(counted)
    slots = [e.outputs[0] for e in graph.equations if e.name == "add"]
    right = dict(zip(slots, np.asarray([[10.0], [20.0], [30.0]]) + X, strict=True))
    values = graph.at_one_turn(right, slots[1])(slots)
    assert np.allclose(values[slots[1]], 2 * right[slots[0]] + 1)
    unknown = {**right, slots[0]: np.full(3, np.nan)}
    assert graph.at_one_turn(unknown, slots[1])(slots)[slots[1]] is graph.values[slots[1]]


@pytest.mark.parametrize(
    ("lengths", "ragged"),
    [((2, 2, 1), True), ((2, 1), True), ((2, 2), False), ((1, 2), False), ((2, 1, 2), False),
     ((3, 2, 1), False)],
)  # fmt: skip
def test_a_loop_whose_last_block_is_shorter_is_one_operation(lengths, ragged):
    def blocks():
        x, found = jnp.arange(24.0).reshape(6, 4)[: sum(lengths)] + X[0], []
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            found.append(jnp.sin(x[end - length : end]))
        return {"all": jnp.concatenate(found)}

    graph = graph_of(blocks)
    sines = [i for i, e in enumerate(graph.equations) if e.name == "sin"]
    assert graph.groups(sines, ragged=True) == ([tuple(sines)] if ragged else [])
    assert sum(map(len, graph.groups(sines))) == len(lengths)


def test_what_is_written_over_before_it_is_read():
    w, d_out = np.array([1.5, -0.3, 0.7]), np.array([0.2, 1.1, -0.6])
    graph = watched(lambda: recurrent.written_over(w, d_out), ["x", "total"], Limit(10.0))
    sites = {graph.equations[i].site for i in graph.overwriting(range(len(graph.equations)))}
    assert sites == {recurrent.line_of("# wrong: windows overlap")}
    zeros = [i for i in range(len(graph.equations)) if graph.makes_zeros(i)]
    assert {graph.equations[i].name for i in zeros} == {"zeros"}
