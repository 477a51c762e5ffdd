"""Arrays that share their memory: where the entries of one stand in the other."""

import numpy as np
import pytest

from compare.diagnosis.recording.memory import Writes, owner_of, places

VIEWS = {
    "a row": lambda x: x[1],
    "a slice": lambda x: x[1:, ::2],
    "from the end": lambda x: x[::-1, 2:0:-1],
    "turned": lambda x: x.T[1:3],
    "in another shape": lambda x: x[:2].reshape(4, 2),
    "one entry": lambda x: x[2:3, 1:2],
    "the diagonal": lambda x: np.einsum("ii->i", x[:, :3]),
    "no entry": lambda x: x[3:],
    "repeated": lambda x: np.broadcast_to(x[1], (2, 4)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "bool", "complex128"])
@pytest.mark.parametrize("name", VIEWS)
def test_the_places_of_a_view_are_where_its_numbers_come_from(name, dtype):
    x = np.arange(12.0).reshape(3, 4).astype(dtype)
    view = VIEWS[name](x)
    own = owner_of(view)
    assert own is owner_of(x)
    at = places(view, own)
    assert at.shape == view.shape
    assert np.array_equal(own.ravel()[at], view)
    assert np.array_equal(np.arange(12.0)[at].astype(dtype), view)


def test_the_owner_may_have_its_columns_one_after_another():
    x = np.asfortranarray(np.arange(12.0).reshape(3, 4)).copy(order="F")
    view = x[1:, 1::2]
    assert np.array_equal(places(view, x), [[5, 7], [9, 11]])


def test_a_view_of_another_type_has_no_places():
    x = np.zeros((2, 4))
    for view in (x.view(np.float32), x.view(np.uint8)[:, 4:12]):
        with pytest.raises(ValueError, match="another type"):
            places(view, x)


def test_an_array_is_not_seen_any_more_when_another_of_its_memory_is_written_to():
    writes, x, other = Writes(), np.zeros((2, 4)), np.zeros(3)
    row, column = x[0], x[:, 1]
    for own in (x, row, column, other):
        writes.see(own)
    writes.write(row)
    assert [*map(writes.is_seen, (x, row, column, other))] == [False, True, False, True]
    writes.see(column)
    assert writes.is_seen(column)
