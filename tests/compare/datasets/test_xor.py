import numpy as np

from compare.datasets import xor


def test_is_the_truth_table_of_exclusive_or():
    data = xor.load()
    assert data.name == "xor"
    assert data.note == ""
    for (a, b), (y,) in zip(data.x_train.tolist(), data.y_train.tolist(), strict=True):
        assert y == (a != b)
    assert {tuple(row) for row in data.x_train.tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_shapes_dtypes_and_test_equals_train():
    data = xor.load()
    assert data.x_train.shape == (4, 2)
    assert data.y_train.shape == (4, 1)
    assert data.x_train.dtype == data.y_train.dtype == np.float32
    np.testing.assert_array_equal(data.x_test, data.x_train)
    np.testing.assert_array_equal(data.y_test, data.y_train)


def test_every_load_is_its_own_arrays():
    data = xor.load()
    data.x_train[:] = 9
    assert data.x_test.max() == 1
    assert xor.load().x_train.max() == 1
