"""What a recorded call takes of an iterator can be given to it again, and no more is taken."""

import itertools
import types

import numpy as np

from compare.diagnosis.recording.given import Drawn, drawn, with_numbers

A, B = np.arange(3.0), np.ones(3)


def test_no_entry_is_taken_that_is_not_asked_for():
    own = drawn((x for x in itertools.count(0.5)), id)
    assert next(own.given) == 0.5
    assert any(x > 1 for x in own.given)
    assert own.entries == [0.5, 1.5]


def test_iterators_of_python_and_views_are_drawn_from_and_nothing_else():
    for source in (map(abs, [1]), zip([1]), reversed([1]), iter([1]), {1: A}.values(),
                   itertools.chain([1])):  # fmt: skip
        assert isinstance(drawn(source, id), Drawn)
    for source in ([A], (A,), A, "text", range(2), {1: A}):
        assert drawn(source, id) is source
    with open(__file__) as file:
        assert drawn(file, id) is file


def test_the_numbers_are_replaced_where_they_stand():
    own = drawn((pair for pair in [(A, "a"), (A, "b")]), lambda x: 7)
    assert [name for _, name in own.given] == ["a", "b"]
    assert own.slots == [7, 7]
    (again, by), kwargs = with_numbers(
        ((own, B), {"k": [A]}), {id(B): 2.0, id(A): 3.0}, iter([4, 5])
    )
    assert isinstance(again, types.GeneratorType)
    assert [*again] == [(4, "a"), (5, "b")]
    assert (by, kwargs) == (2.0, {"k": [3.0]})
