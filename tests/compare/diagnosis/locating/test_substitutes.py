"""What may stand in for the values of one operation, at every turn of its loop."""

import numpy as np
import pytest

from compare.diagnosis.locating.substitutes import substitutes
from compare.diagnosis.watching.references import Reference, References

RNG = np.random.default_rng(0)
WHOLE = RNG.standard_normal((5, 3))
EVEN = [WHOLE[:2], WHOLE[2:4]]
RAGGED = [*EVEN, WHOLE[4:]]
"""Blocks of two rows, of which the last has one."""


def reference(array, slot, family, kind="gradient"):
    return Reference(kind, slot, array, "loss.py:3", "z", family)


def found(references, values, kinds=("gradient",)):
    return [turns for _, turns in substitutes(References(references), values, kinds)]


def like(turns, others):
    return len(turns) == len(others) and all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(turns, others, strict=True)
    )


def zeros(turns):
    return [np.zeros_like(turn) for turn in turns]


def test_complex_numbers_stand_in_for_such_alone():
    known = [reference(WHOLE * 1j, 0, "z")]
    for values in ([WHOLE], EVEN[:1] * 2, RAGGED):
        assert found(known, zeros(values)) == []
    assert like(found(known, [np.zeros((5, 3), complex)])[0], [WHOLE * 1j])


@pytest.mark.parametrize("turns", [EVEN, RAGGED], ids=["even", "ragged"])
def test_the_turns_of_a_loop_of_the_loss(turns):
    own = [reference(turn, slot, "the loop") for slot, turn in enumerate(turns)]
    others = [reference(2 * turn, slot, "a term", "term") for slot, turn in enumerate(turns)]
    first, *_ = found([*own, *others], zeros(turns))
    assert like(first, turns)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_blocks_of_one_value_of_the_loss(axis):
    turns = [np.ascontiguousarray(turn.T if axis else turn) for turn in RAGGED]
    own = reference(WHOLE.T if axis else WHOLE, 0, "whole")
    (only,) = found([own], zeros(turns))
    assert like(only, turns)


def test_a_loop_of_other_lengths_is_none():
    others = [reference(turn, slot, "the loop") for slot, turn in enumerate(RAGGED[1:])]
    assert found(others, zeros(RAGGED)) == []


@pytest.mark.parametrize("turns", [EVEN, RAGGED], ids=["even", "ragged"])
def test_of_other_kinds_and_for_whole_numbers_there_are_none(turns):
    own = [reference(turn, slot, "the loop") for slot, turn in enumerate(turns)]
    assert found(own, zeros(turns), ("value",)) == []
    assert found(own, [turn.astype(int) for turn in zeros(turns)]) == []
