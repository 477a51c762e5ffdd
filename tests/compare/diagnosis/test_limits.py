"""A search is limited by its own work and, where that has to wait, by the clock."""

import time

import pytest

from compare.diagnosis import limits
from compare.diagnosis.limits import PATIENCE, Limit


def test_waiting_is_no_work():
    limit = Limit(0.5)
    time.sleep(0.1)
    assert limit.left() > 0.45


def test_work_uses_it_up():
    limit = Limit(0.05)
    while not limit.is_over():
        sum(range(1000))
    with pytest.raises(TimeoutError, match=r"more than 0\.05 s"):
        limit.check()


def test_waiting_is_not_without_end(monkeypatch):
    limit = Limit(8.0)
    limit.check()
    late = time.monotonic() + PATIENCE * 8.0
    monkeypatch.setattr(limits.time, "monotonic", lambda: late)
    assert limit.is_over()
