"""Long tables in the gate: one row in six; `make thorough` runs every row."""

import gc
import os
import zlib
from collections import Counter

import pytest

ONE_IN = 1 if os.environ.get("HANDGRAD_THOROUGH") else 6


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each test marked `table`, keeps every sixth row, and one at least.

    Where a test begins follows from its name, so that not all tests of a rule leave it out.
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
    items[:] = kept
    config.hook.pytest_deselected(items=left)


def pytest_collection_finish() -> None:
    """Spares the collector of garbage the tests and all that they import: they stay to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _test(item: pytest.Item) -> str:
    return item.nodeid.split("[")[0]
