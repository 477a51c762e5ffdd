"""The copy of a function does what the original does, and leaves that as it was."""

import functools
import json

import pytest

from compare.diagnosis.recording.instrumented import instrumented, is_instrumentable


class Counting:
    """A watcher that does what it is told and counts."""

    def __init__(self):
        self.calls = []

    def call(self, line, function, *args, **kwargs):
        self.calls.append(("call", line))
        return function(*args, **kwargs)

    def binary(self, line, name, left, right):
        self.calls.append((name, line))
        return {"Add": left.__add__, "Mult": left.__mul__, "Lt": left.__lt__}[name](right)

    def returned(self, line, value):
        return value

    def item(self, line, value, index):
        self.calls.append(("item", line))
        return value[index]

    def set_item(self, line, target, index, value):
        self.calls.append(("set", line))
        target[index] = value

    def attribute(self, line, value, name):
        return getattr(value, name)


def decorated(fn):
    @functools.wraps(fn)
    def inner(*args):
        return fn(*args)

    return inner


def original(a, b=2, *, c: int = 3):
    return a + b * c


def made(offset):
    def inner(x):
        return x + offset

    return inner


def test_the_results_and_defaults_are_the_originals():
    watcher = Counting()
    copy = instrumented(original, watcher)
    assert copy(1) == original(1) == 7
    assert copy(1, 5, c=2) == 11
    first = original.__code__.co_firstlineno
    assert watcher.calls[:2] == [("Mult", first + 1), ("Add", first + 1)]
    assert original.__code__.co_freevars == ()


def test_a_closure_keeps_its_variables():
    assert instrumented(made(40), Counting())(2) == 42


def test_lambdas_on_one_line_are_told_apart():
    one, other = (lambda x: x + 1), (lambda x: x * 3)
    assert instrumented(one, Counting())(5) == 6
    assert instrumented(other, Counting())(5) == 15


def test_indices_and_slices():
    def fn(values):
        values[0] = values[1:3]
        return [v for v in values if v < 3] if len(values) < 2 else values[0][1]

    assert instrumented(fn, Counting())([1, 2, 3]) == 3


def test_one_assignment_to_several_is_in_pythons_order():
    def fn(values, i):
        values[i], i, (values[i], *values[2:]) = 10, 1, (20, 30, 40)
        first = values[0] = values[1] + 0
        return values, i, first

    watcher = Counting()
    assert instrumented(fn, watcher)([1, 2, 3], 0) == fn([1, 2, 3], 0)
    assert [name for name, _ in watcher.calls].count("set") == 4


def test_libraries_builtins_and_copies_are_left_alone():
    assert is_instrumentable(original)
    assert not is_instrumentable(json.dumps)
    assert not is_instrumentable(len)
    assert not is_instrumentable(int)
    assert not is_instrumentable(instrumented(original, Counting()))


def test_without_a_source_there_is_no_copy():
    scope = {}
    exec("def fn(x):\n    return x", scope)
    assert not is_instrumentable(scope["fn"])
    with pytest.raises(ValueError, match="fn has no source"):
        instrumented(scope["fn"], Counting())
