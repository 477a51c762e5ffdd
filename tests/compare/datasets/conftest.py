import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compare.datasets import DataError, mirrors

SHAPES = {
    "train-images-idx3-ubyte": (5, 28, 28),
    "train-labels-idx1-ubyte": (5,),
    "t10k-images-idx3-ubyte": (3, 28, 28),
    "t10k-labels-idx1-ubyte": (3,),
}


@pytest.fixture
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    """Packs uint8 items as IDX, written apart from the reader under test."""

    def pack(items: np.ndarray) -> bytes:
        return struct.pack(f">HBB{items.ndim}I", 0, 8, items.ndim, *items.shape) + items.tobytes()

    return pack


@pytest.fixture
def tiny_items() -> dict[str, np.ndarray]:
    """Five training and three test examples, by file name."""
    rng = np.random.default_rng(1)
    return {
        stem: rng.integers(0, 256 if "images" in stem else 10, shape, dtype=np.uint8)
        for stem, shape in SHAPES.items()
    }


@pytest.fixture
def tiny_files(tiny_items, idx_bytes) -> dict[str, bytes]:
    return {stem: idx_bytes(items) for stem, items in tiny_items.items()}


@pytest.fixture
def archives(tiny_files) -> dict[str, bytes]:
    """What a mirror serves: archive name to bytes."""
    return {f"{stem}.gz": gzip.compress(content) for stem, content in tiny_files.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """No test sees the user's own cache or environment."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(mirrors, "cache_folder", lambda: folder)
    monkeypatch.delenv("HANDGRAD_DATA", raising=False)
    return folder


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Calls `load`, which must raise a DataError of one line that has every one of `parts`."""

    def check(load: Callable[[], object], *parts: object) -> str:
        with pytest.raises(DataError) as caught:
            load()
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        for part in parts:
            assert str(part) in message
        return message

    return check
