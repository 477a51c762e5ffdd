import numpy as np
import pytest

from compare.datasets import parity


def test_a_stream_is_odd_or_even():
    data = parity.load(0)
    assert data.name == "parity"
    assert data.x_train.shape == (8000, 16, 1)
    assert data.x_test.shape == (2000, 16, 1)
    assert data.x_train.dtype == data.y_train.dtype == np.float32
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert set(np.unique(x)) == {0, 1}
        np.testing.assert_array_equal(y[:, 0], x.sum(axis=(1, 2)) % 2)


@pytest.mark.parametrize("length", [16, 32])
def test_no_stream_of_the_test_is_trained_on(length):
    data = parity.load(1, length)
    train, test = (set(map(bytes, x.astype(np.uint8))) for x in (data.x_train, data.x_test))
    assert len(test) == 2000
    assert not train & test


def test_streams_to_learn_from_are_of_all_lengths():
    data = parity.load(0)
    zeros = np.argmax(data.x_train[..., 0], axis=1)  # how many there are in front of the first one
    counts = np.bincount(zeros[data.x_train.any(axis=(1, 2))], minlength=16)
    assert np.sum(counts > 150) >= 14, "a test row may be one of the few that are very short"
    assert abs(data.x_test[:, 0].mean() - 0.5) < 0.05


def test_short_streams_are_all_there():
    data = parity.load(0, 2)
    assert len(data.x_train) + len(data.x_test) == 4


def test_the_seed_chooses_the_streams():
    first, again, other = (parity.load(seed).x_train for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_other_lengths_are_refused():
    for length in (1, 33):
        with pytest.raises(ValueError, match=f"must be between 2 and 32, got {length}"):
            parity.load(0, length)
