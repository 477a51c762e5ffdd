"""Plain Python is watched: the same results, and every operation with its line."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.expressions import lines_of, source_of
from compare.diagnosis.limits import Limit
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.watcher import graph_of, idle_lines, record_python

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


class Dense:
    def __init__(self):
        self.dw, self.count, self.parts = np.zeros((3, 4)), 0, [np.zeros(4)]
        self.alias, self.scale = self.dw, 1.0


def attributes():
    layers = [Dense(), Dense()]
    for i, layer in enumerate(layers):
        layers[i].dw += A * B
        layer.dw *= 2.0
        layer.parts[0] += A[0]
        layer.scale /= 4.0
        layer.count += 1
    last = layers[-1]
    return {"dw": last.alias, "parts": last.parts[0], "scale": layers[0].scale * A}


def iterators():
    rows = {"first": A[0], "second": A[1]}
    total = sum(row * b for row, b in zip(A, B, strict=True))
    return {
        "generator": total,
        "map": sum(map(np.tanh, rows.values())),
        "view": sum(rows.values()),
        "start": sum(reversed([*A]), B[0]),
        "largest": 2 * max(x.sum() for x in A),
        "filter": sum(x.sum() for x in filter(lambda x: x.sum() > 0, A)),
    }


def endless():
    first = next(i for i in itertools.count() if A.sum() < i)
    return {"a": A * first, "b": A * any(i > 3 for i in itertools.count())}


@pytest.mark.parametrize("fn", [straight, loops, classes, unpacked, attributes, iterators, endless])
def test_what_was_recorded_gives_the_results_again(fn):
    graph = Graph(record_python(fn))
    for name, expected in fn().items():
        assert np.allclose(graph.values[graph.outputs[name]], expected, rtol=1e-15), name


@pytest.mark.parametrize("fn", [straight, loops, classes, attributes, iterators])
def test_another_value_goes_all_the_way(fn):
    """Every leaf is computed of A: with A doubled in its slot, the leaves change."""
    graph = Graph(record_python(fn))
    slot = next(s for s in graph.values if np.shape(graph.values[s]) == (3, 4))
    found = graph.run({slot: 2 * graph.values[slot]}, graph.outputs.values())
    assert (
        any(not np.allclose(found[s], graph.values[s]) for s in graph.outputs.values())
        or fn is loops
    )


def test_what_was_added_to_an_attribute_is_followed():
    graph = Graph(record_python(attributes))
    assert graph.outputs["dw"] in graph.maker
    before = graph.ancestors([graph.outputs["dw"]])
    assert {"add", "mul"} <= {graph.equations[i].name for i in before}


def test_every_entry_of_an_iterator_is_followed():
    graph = Graph(record_python(iterators))
    rows = [graph.equations[i].outputs[0] for i in graph.ancestors([graph.outputs["generator"]])
            if graph.equations[i].name == "mul"]  # fmt: skip
    assert len(rows) == 3
    zero = np.zeros(4)
    (found,) = graph.run(dict.fromkeys(rows, zero), [graph.outputs["generator"]]).values()
    assert np.array_equal(found, zero)
    names = {graph.equations[i].name for i in graph.ancestors([graph.outputs["map"]])}
    assert names == {"sum", "tanh", "item"}


def loop(h):
    total = 0
    for row in h:
        total = total + row * 2
    return [total]


def side_by_side(h):
    return [a * b for i, (a, b) in enumerate(zip(h, h[::-1], strict=True)) if i < 2]


def from_the_last(h):
    return [np.tanh(row) for row in reversed(h)]


def in_parts(h):
    first, second, _ = h
    (a, *_), *others = h
    return [first * second, a * others[-1]]


def by_columns(h):
    return [a * b for a, b, *_ in h]


def in_lists(h):
    return [*map(np.tanh, h), sum([*h]), list(h)[1] * tuple(h)[2], next(iter(h)) * 2]


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("fn", [loop, side_by_side, from_the_last, in_parts, by_columns, in_lists])
def test_the_rows_that_a_loop_goes_through_come_from_the_array(fn, kind):
    x = kind(A)

    def run():
        return {str(i): np.asarray(out) for i, out in enumerate(fn(-x))}

    graph = Graph(record_python(run))
    (h,) = (e.outputs[0] for e in graph.equations if e.name == "neg")
    outputs = graph.outputs.values()
    changed = graph.run({h: np.zeros((3, 4))}, outputs)
    for name, out in graph.outputs.items():
        assert np.allclose(graph.values[out], run()[name], rtol=1e-6)
        assert not np.any(changed[out]), name


def test_the_rows_of_two_arrays_are_two_operations():
    def fn():
        return {"a": sum(x * y for x, y in zip(A, B, strict=True))}

    graph = Graph(record_python(fn))
    rows = [i for i, e in enumerate(graph.equations) if e.name == "item"]
    a, b = graph.groups(rows)
    assert [graph.values[graph.equations[i].outputs[0]].tolist() for i in a] == A.tolist()
    assert [graph.values[graph.equations[i].outputs[0]].tolist() for i in b] == B.tolist()
    assert {graph.equations[i].site for i in rows} == {
        f"{__file__}:{fn.__code__.co_firstlineno + 1}"
    }
    assert {source_of(graph.equations[i].origin) for i in rows} == {""}
    assert lines_of(graph.equations[rows[0]].origin)[0] == graph.equations[rows[0]].site


def in_a_loop(x, h):
    for row in x:
        row *= h[0, 0]


def at_places_of_a_row(x, h):
    for i in range(2):
        np.add.at(x[i], [0, 0, 3], h[0, 0])


def into_a_view_of_a_view(x, h):
    x[1][2:][0] += h[0, 0]


def of_another_shape(x, h):
    flat = x.T[::-1].T.reshape(-1)  # A copy, which x does not see.
    flat[:2] = 0
    x.ravel()[3:5] = h[0, 0]
    x.T[1:, ::2] -= h[0, 0]


def seen_by_others(x, h):
    first, column = x[0], x[:, 1]
    x[0, 1] = h[0, 0]
    column[1] = first[1] + column[0]
    first += x[1] * column[1]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "change",
    [in_a_loop, at_places_of_a_row, into_a_view_of_a_view, of_another_shape, seen_by_others],
)
def test_what_is_written_to_a_view_is_seen_by_all_that_share_its_memory(change, order):
    def fn(h=A):
        x = np.zeros(12).reshape(3, 4, order=order)  # Itself a view.
        x += B
        change(x, np.tanh(h))
        return {"x": x}

    graph = graph_of(fn, ["x"], Limit(60.0))
    out = graph.outputs["x"]
    (h,) = (e.outputs[0] for e in graph.equations if e.name == "tanh")
    assert np.allclose(graph.values[out], fn()["x"], rtol=1e-15)
    changed = graph.run({h: np.tanh(0.5 * A)}, [out])
    assert np.allclose(changed[out], fn(0.5 * A)["x"], rtol=1e-15)
    assert not np.allclose(changed[out], graph.values[out])


def test_the_line_that_writes_to_a_view_writes_to_the_array():
    def fn():
        x = np.zeros((2, 4))
        np.add.at(x[1], [0, 0], A[0, :2])
        return {"x": 2 * x}

    graph = graph_of(fn, ["x"], Limit(60.0))
    (write,) = (e for e in graph.equations if e.name == "set_item")
    assert write.site == f"{__file__}:{fn.__code__.co_firstlineno + 2}"
    assert np.array_equal(graph.values[write.outputs[0]], fn()["x"] / 2)


def test_what_is_changed_by_way_of_another_array_is_refused():
    def fn(change):
        rows = A * B
        change(rows)
        return {"a": rows * 3}

    def unseen(rows):
        memoryview(rows).cast("B")[7] = 64

    def by_its_bits(rows):
        rows.view(np.int64)[0] &= -256

    for change, why in ((unseen, "do not give a again"), (by_its_bits, "another type")):
        with pytest.raises(ValueError, match=why):
            graph_of(lambda change=change: fn(change), ["a"], Limit(60.0))
    graph = graph_of(lambda: {"a": A * np.array([np.nan, np.inf, 1.0, 0.0])}, ["a"], Limit(60.0))
    assert graph.equations[-1].name == "mul"


def test_what_is_drawn_is_drawn_once():
    def fn():
        rng = np.random.default_rng(0)
        return {"a": A * rng.uniform(size=(3, 4))}

    graph = graph_of(fn, ["a"], Limit(60.0))
    assert np.array_equal(graph.values[graph.outputs["a"]], fn()["a"])


def test_what_is_no_array_is_gone_through_as_python_does():
    class Rows:
        def __iter__(self):
            return iter([1.0, 2.0])

    def fn():
        found, growing, layers = [], [1.0], {"w": (A, 2.0), "b": (B, 3.0)}
        for x in growing:
            if len(growing) < 3:
                growing.append(x + 1)
        for name, (value, scale) in layers.items():
            found.append((name, value is layers[name][0], scale))
        (a, b), text = Rows(), "xy"
        first, second = text
        for dtype in np.array([None, A], dtype=object):
            found.append(dtype is A)
        found += [isinstance(zip([1]), zip), [*reversed([1, 2])], *enumerate({"k": 1})]
        return [*found, *growing, a, b, first, second]

    seen = []
    record_python(lambda: seen.append(fn()) or {"a": 2 * A})
    assert seen == [fn()]
    for x, error in ((A.sum(keepdims=True).reshape(()), TypeError), (A, ValueError)):
        with pytest.raises(error, match=r"0-d array|too many values to unpack"):
            record_python(lambda x=x: {"a": product_of_two(x)})


def product_of_two(x):
    a, b = x
    return a * b


def test_a_number_of_another_type_is_followed():
    def fn():
        rows = [float((row * B[0]).sum()) for row in A]
        return {"a": np.array([np.float64(2 * x) for x in rows])}

    graph = Graph(record_python(fn))
    assert np.array_equal(graph.values[graph.outputs["a"]], fn()["a"])
    before = {graph.equations[i].name for i in graph.ancestors([graph.outputs["a"]])}
    assert before >= {"mul", "sum", "convert_element_type"}
    assert record_python(lambda: {"a": A * float("2")}).equations[0].name == "mul"


def test_an_attribute_is_looked_up_as_python_does():
    """The object once, its attribute before the value, which may change it."""

    def counted():
        asked = []

        class Cell:
            total = 1.0

            def next(self):
                self.total = 10.0
                return 2.0

        cell = Cell()

        def the():
            asked.append(1)
            return cell

        the().total += cell.next()
        return {"total": np.float64(cell.total), "asked": np.float64(len(asked))}

    assert counted() == {"total": 3.0, "asked": 1.0}
    graph = Graph(record_python(counted))
    assert {name: graph.values[slot] for name, slot in graph.outputs.items()} == counted()


class Private:
    def __init__(self):
        self.__dw = 0 * A

    def __scaled(self, by):
        return self.__dw * by

    def added(self):
        self.__dw += A
        self.__dw = (lambda: self.__dw + B)()
        return self.__scaled(2.0)


def test_private_attributes_are_those_of_their_class():
    def fn():
        return {"a": Private().added()}

    graph = Graph(record_python(fn))
    assert np.array_equal(graph.values[graph.outputs["a"]], fn()["a"])
    assert {"add", "mul"} <= {e.name for e in graph.equations}


def test_a_line_is_that_of_the_helper():
    graph = Graph(record_python(straight))
    lines = {e.name: e.site for e in graph.equations}
    assert lines["mul"] == f"{__file__}:{scaled.__code__.co_firstlineno + 1}"
    assert lines["tanh"] == f"{__file__}:{straight.__code__.co_firstlineno + 1}"


def test_functions_that_leave_everything_as_it_is():
    (found,) = idle_lines(lambda: {"a": same(scaled(A))}).passed
    site, value, alone = found
    assert alone
    assert site == f"{__file__}:{same.__code__.co_firstlineno + 1}"
    assert np.array_equal(value, 2 * A)


def test_jax_is_traced_and_run_with_its_values_only_where_there_is_one():
    calls = []

    def of(last):
        calls.append(last)
        return {"a": last(jnp.tanh(A) * 2)}

    assert idle_lines(lambda: of(scaled)).passed == []
    assert calls == [scaled]
    ((_, value, _),) = idle_lines(lambda: of(same)).passed
    assert calls == [scaled, same, same]
    assert np.allclose(value, 2 * np.tanh(A))


def test_functions_that_leave_one_of_several_as_it_is():
    def both(x, y):
        z = x * y
        return z, x

    (found,) = idle_lines(lambda: {"a": both(scaled(A), A)[0]}).passed
    assert found.site == f"{__file__}:{both.__code__.co_firstlineno + 2}"
    assert np.array_equal(found.value, 2 * A)
    assert not found.alone


def test_a_random_key_that_is_passed_through_is_no_value():
    key = jax.random.key(0)
    assert idle_lines(lambda: {"a": same(key), "b": scaled(A)}).passed == []
    assert idle_lines(lambda: {"a": same(key), "b": scaled(np.asarray(A))}).passed == []


def test_what_jax_transforms_is_one_operation():
    """A function that is defined here is instrumented, and jax calls it with its tracers."""

    def gradients():
        def loss(x):
            return (x * jnp.sin(x)).sum()

        @jax.custom_vjp
        def rule(x):
            return jnp.round(x)

        rule.defvjp(lambda x: (jnp.round(x), None), lambda _, g: (g * 2,))
        back = jax.vjp(rule, jnp.asarray(A))[1]
        return {"grad": jax.grad(loss)(A), "rows": jax.vmap(loss)(A), "rule": back(A)[0]}

    graph = Graph(record_python(gradients))
    for name, expected in gradients().items():
        assert np.allclose(graph.values[graph.outputs[name]], expected), name


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

    (found,) = idle_lines(lambda: {"a": outer()}).passed
    assert np.array_equal(found.value, A)
