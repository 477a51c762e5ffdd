"""Each operation is told with its line, and can be computed again of other numbers."""

import numpy as np
import pytest

from compare.diagnosis.limits import Limit
from compare.diagnosis.recording.operations import Watcher

A = np.random.default_rng(0).standard_normal((3, 4))


def doubled(x):
    y = x + x
    return {"y": y}


def into_an_array(x):
    y = np.empty_like(x)
    np.multiply(x, 3.0, out=y)
    return {"y": y}


@pytest.mark.parametrize(
    ("fn", "by", "name"), [(doubled, 2, "add"), (into_an_array, 3, "multiply")]
)
def test_an_operation_has_its_line_and_is_computed_again(fn, by, name):
    watcher = Watcher(Limit(10.0))
    (y,) = watcher.call(0, fn, A).values()
    *_, equation = watcher.equations
    assert equation.name == name
    assert equation.outputs == (watcher.slot(y),)
    assert equation.site == f"{__file__}:{fn.__code__.co_firstlineno + len(watcher.equations)}"
    inputs = [watcher.constants.get(slot, A) for slot in equation.inputs]
    (again,) = equation.fn(*(2 * x if np.ndim(x) else x for x in inputs))
    assert np.allclose(again, 2 * by * A)


def test_an_array_of_no_numbers_yet_is_zeros():
    watcher = Watcher(None)
    for make in (lambda: {"y": np.empty((3, 4))}, lambda: {"y": np.empty_like(A)}):
        (y,) = watcher.call(0, make).values()
        assert not y.any()


def test_it_ends_where_its_time_is_over():
    with pytest.raises(TimeoutError):
        Watcher(Limit(0.0)).call(0, doubled, A)
