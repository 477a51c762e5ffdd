"""Tables in the gate: one row in twelve; `make thorough` runs every row."""

import gc
import os
import tempfile
import zlib
from collections import Counter

import pytest

ONE_IN = 1 if os.environ.get("HANDGRAD_THOROUGH") else 12


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps every twelfth row of a test marked `table`, one at least, and puts the `long` first.

    Where a test begins follows from its name, so that not all tests of a rule leave it out. What
    takes long would otherwise keep one process busy when the others have nothing left.
    """
    rows = Counter(_test(item) for item in items)
    seen: Counter[str] = Counter()
    kept, left = [], []
    for item in items:
        test = _test(item)
        first = zlib.crc32(test.encode()) % min(ONE_IN, rows[test])
        chosen = seen[test] % ONE_IN == first
        seen[test] += 1
        (kept if chosen or item.get_closest_marker("table") is None else left).append(item)
    items[:] = sorted(kept, key=lambda item: item.get_closest_marker("long") is None)
    config.hook.pytest_deselected(items=left)


def pytest_configure(config: pytest.Config) -> None:
    """Has each process of tests keep what it compiles: many tests compile a program again.

    In a folder of its own, since two processes could meet in one file. Processes that a test starts
    have none. Until the tests are collected there is no garbage worth looking for.
    """
    if config.getoption("numprocesses", None):
        return  # This one only hands out the tests.
    import jax

    folder = tempfile.TemporaryDirectory(prefix="handgrad-compiled-")
    config.add_cleanup(folder.cleanup)
    jax.config.update("jax_compilation_cache_dir", folder.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    gc.disable()


def pytest_collection_finish() -> None:
    """Spares the collector of garbage the tests and all that they import: they stay to the end."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def _test(item: pytest.Item) -> str:
    return item.nodeid.split("[")[0]
