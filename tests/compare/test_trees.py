import jax.numpy as jnp
import numpy as np
import pytest

from compare.trees import aligned_empty, called, cast, largest_difference, of_blocks, shape_of


@pytest.mark.parametrize("dtype", [np.float64, np.int32, bool, jnp.bfloat16, np.complex64])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (300, 70)])
def test_an_array_to_be_written_to_begins_where_jax_can_read_it(shape, dtype):
    made = aligned_empty(shape, dtype)
    assert (made.shape, made.dtype) == (shape, np.dtype(dtype))
    assert not made.size or made.ctypes.data % 64 == 0
    made[...] = 1
    assert (made == 1).all()


def test_what_has_the_dtype_already_is_not_copied():
    x = np.arange(6, dtype=np.float32)
    assert cast(x, np.float32) is x
    np.testing.assert_array_equal(cast(x, np.float64), x)
    for dtype in (None, np.float64, jnp.bfloat16):
        assert shape_of(x, dtype).dtype == cast(x, dtype).dtype


@pytest.mark.parametrize("count", [0, 3, 17, 40])
def test_blocks_come_in_their_order_by_one_thread_or_two(count):
    found = of_blocks(lambda own: own.start, 10 * count, length=10)
    assert found == [10 * i for i in range(count)]


def test_the_largest_difference_of_large_arrays_tells_nan():
    a = np.zeros(2**20)
    b = a.copy()
    b[-7] = -3
    assert largest_difference(a, b) == 3
    b[5] = np.nan
    assert np.isnan(largest_difference(a, b))


@pytest.mark.parametrize(
    ("path", "name"),
    [("w1", "w1"), ("params", "params"), ("2/0", "params[2][0]"), ("1", "params[1]"),
     ("3/gamma", 'params[3]["gamma"]'), ("layers/0/w", 'layers[0]["w"]')],
)  # fmt: skip
def test_a_leaf_in_a_sentence_is_indexed_as_in_python(path, name):
    assert called(path) == name
