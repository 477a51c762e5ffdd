"""Plain Python is watched: the same results, and every operation with its line."""

import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.limits import Limit
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.watcher import passed_through, record_python

A, B = np.random.default_rng(0).standard_normal((2, 3, 4))


def scaled(x, by=2.0):
    return x * by


def same(x):
    return x


def straight():
    h = np.tanh(A) @ B.T
    return {"h": h, "sum": scaled(h).sum(axis=0)}


def loops():
    total = np.zeros((3, 4))
    for i in range(3):
        total[i] += A[i] * B[i]
    total *= 2
    kept = np.array([1.0 * row for row in total])
    np.add.at(kept, [0, 0], 1.0)
    return {"total": total, "kept": kept}


def classes():
    class Layer:
        def __init__(self, w):
            self.w = w

        def forward(self, x):
            return x @ self.w

    layer = Layer(B.T)
    return {"y": layer.forward(A), "z": (lambda x: -x)(A), "w": np.where(A > 0, A, 0 * A)}


def unpacked():
    def split(x):
        return x[:2], x[2:]

    first, last = split(A)
    pairs = {"first": first, "last": last}
    return {**pairs, "both": np.concatenate([first, last])}


@pytest.mark.parametrize("fn", [straight, loops, classes, unpacked])
def test_what_was_recorded_gives_the_results_again(fn):
    graph = Graph(record_python(fn))
    for name, expected in fn().items():
        assert np.allclose(graph.values[graph.outputs[name]], expected, rtol=1e-15), name


@pytest.mark.parametrize("fn", [straight, loops, classes])
def test_another_value_goes_all_the_way(fn):
    """Every leaf is computed of A: with A doubled in its slot, the leaves change."""
    graph = Graph(record_python(fn))
    slot = next(s for s in graph.values if np.shape(graph.values[s]) == (3, 4))
    found = graph.run({slot: 2 * graph.values[slot]}, graph.outputs.values())
    assert (
        any(not np.allclose(found[s], graph.values[s]) for s in graph.outputs.values())
        or fn is loops
    )


def test_a_line_is_that_of_the_helper():
    graph = Graph(record_python(straight))
    lines = {e.name: e.site for e in graph.equations}
    assert lines["mul"] == f"{__file__}:{scaled.__code__.co_firstlineno + 1}"
    assert lines["tanh"] == f"{__file__}:{straight.__code__.co_firstlineno + 1}"


def test_functions_that_leave_everything_as_it_is():
    (found,) = passed_through(lambda: {"a": same(scaled(A))})
    site, value, alone = found
    assert alone
    assert site == f"{__file__}:{same.__code__.co_firstlineno + 1}"
    assert np.array_equal(value, 2 * A)


def test_jax_is_traced_and_run_with_its_values_only_where_there_is_one():
    calls = []

    def of(last):
        calls.append(last)
        return {"a": last(jnp.tanh(A) * 2)}

    assert passed_through(lambda: of(scaled)) == []
    assert calls == [scaled]
    ((_, value, _),) = passed_through(lambda: of(same))
    assert calls == [scaled, same, same]
    assert np.allclose(value, 2 * np.tanh(A))


def test_functions_that_leave_one_of_several_as_it_is():
    def both(x, y):
        z = x * y
        return z, x

    (found,) = passed_through(lambda: {"a": both(scaled(A), A)[0]})
    assert found.site == f"{__file__}:{both.__code__.co_firstlineno + 2}"
    assert np.array_equal(found.value, 2 * A)
    assert not found.alone


def test_an_error_of_the_function_is_its_own():
    with pytest.raises(ZeroDivisionError):
        record_python(lambda: {"a": 1 / 0})


def test_what_takes_too_long_is_left():
    with pytest.raises(TimeoutError):
        record_python(loops, Limit(0.0))
    recording = record_python(loops)
    with pytest.raises(TimeoutError):
        Graph(recording, Limit(0.0))


def test_a_function_inside_that_leaves_everything_as_it_is():
    def outer():
        def inner(x, y):
            return x * y, y

        return inner(scaled(A), A)[0]

    (found,) = passed_through(lambda: {"a": outer()})
    assert np.array_equal(found.value, A)
