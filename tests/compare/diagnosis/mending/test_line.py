"""What a line reads, turn by turn, and what could stand in its place."""

import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.mending.line import Line, alternatives, columns, in_stead, slots
from compare.diagnosis.tape import record_results
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.references import Reference, References
from compare.diagnosis.watching.spots import Known

W = np.random.default_rng(0).standard_normal((3, 4))


def in_a_loop():
    w = jnp.asarray(W)
    total = jnp.zeros(4)
    for row in range(3):
        total = total + w[row] * w[row]  # the line
    return {"w": total}


@pytest.fixture
def line():
    graph = Graph(record_results(in_a_loop))
    site = f"{__file__}:{in_a_loop.__code__.co_firstlineno + 4}"
    indices = [
        i for i, e in enumerate(graph.equations) if e.site == site and e.name in ("mul", "add")
    ]
    ours = Reference("value", 0, W[0] + 1, "", "theirs", ("value", 0))
    own = Reference("value", 1, W[0].reshape(1, 4) + 2, "", "own", ("value", 1))
    other = Reference("value", 2, np.ones(5), "", "of another size", ("value", 2))
    known = Known(
        References([ours, other]),
        References([]),
        list,
        list,
        lambda *_: False,
        lambda *_: "",
        set(),
        set(),
    )
    return Line(graph, indices, {}, known, References([own]))


def test_the_operands_of_a_loop_are_columns_of_its_turns(line):
    names = {
        column: [line.graph.equations[i].name for group in groups for i in group]
        for column, groups in columns(line).items()
    }
    assert sorted(map(len, names)) == [3, 3, 3, 3]
    assert sorted({name for own in names.values() for name in own}) == ["add", "mul"]


def test_every_slot_has_its_readers(line):
    readers = slots(line)
    assert {i for own in readers.values() for i in own} == set(line.indices)
    for slot, own in readers.items():
        assert all(slot in line.graph.equations[i].inputs for i in own)


def test_other_values_are_read_by_every_turn_of_a_column(line):
    column, groups = next(iter(columns(line).items()))
    read = in_stead(column, groups, [np.zeros(4), np.ones(4), np.full(4, 2.0)])
    assert {slot for _, slot in read} == set(column)
    assert sorted(float(value[0]) for value in read.values())[0] == 0
    assert all(slot in line.graph.equations[i].inputs for i, slot in read)


def test_what_could_stand_there_has_the_shape_up_to_axes_of_one(line):
    assert [own.about for own in alternatives(W[0], line)] == ["theirs", "own"]
