"""Long tables in the gate: one row in six; `make thorough` runs every row."""

import os
from collections import Counter

import pytest

ONE_IN = 1 if os.environ.get("HANDGRAD_THOROUGH") else 6


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each test marked `table`, keeps the first row and every sixth one after it."""
    rows: Counter[str] = Counter()
    kept, left = [], []
    for item in items:
        test = item.nodeid.split("[")[0]
        rows[test] += 1
        of_a_table = item.get_closest_marker("table") is not None
        (left if of_a_table and (rows[test] - 1) % ONE_IN else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left)
