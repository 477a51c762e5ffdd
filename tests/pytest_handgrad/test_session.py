import dataclasses
import logging
import math
import types

import numpy as np
import pytest

from compare import check_gradients
from compare.checker.reporting.logged import Check
from pytest_handgrad import session


@pytest.fixture
def listening():
    """A session of its own, beside that of these tests."""
    before = logging.getLogger("handgrad.checks").level
    own = session.Session(types.SimpleNamespace(), None, None)  # pyright: ignore[reportArgumentType]
    yield own
    own.pytest_unconfigure()
    assert logging.getLogger("handgrad.checks").level == before


@pytest.mark.parametrize(("level", "passes"), [(logging.WARNING, False), (logging.DEBUG, True)])
def test_only_who_asked_for_the_log_has_it(listening, monkeypatch, level, passes):
    monkeypatch.setattr(logging.root, "level", level)
    record = logging.makeLogRecord({"levelno": logging.DEBUG, "name": "handgrad.checks"})
    assert listening.filter(record) is passes


@pytest.mark.parametrize("whole", [False, True])
def test_a_row_can_travel_between_processes(whole):
    execnet = pytest.importorskip("execnet")
    report = check_gradients(lambda x: (x**2, 2 * x), lambda x: x**2, np.float64(1.5))
    report = dataclasses.replace(report, detectable=np.float64(1e-9))
    sent = session._row(Check(report, np.int64(3), 0.5), "t.py::test", whole)  # pyright: ignore[reportArgumentType]
    assert execnet.loads(execnet.dumps(sent)) == sent
    assert ("leaves" in sent) == whole


def row(seconds, detectable, agree=True):
    return {
        "test": f"t.py::test_{seconds}", "seconds": seconds, "detectable": detectable,
        "agree": agree,
    }  # fmt: skip


def test_the_summary_names_the_slowest_and_the_weakest():
    rows = [row(1.0, 1e-9), row(2.5, 1e-15), row(0.5, 0.1, agree=False), row(0.25, math.nan)]
    assert session._summary(rows) == [
        "4 checks, 3 agree, in 4.2 s",
        "slowest: 2.50 s, t.py::test_2.5",
        "weakest: sees an error of 1e-09, t.py::test_1.0",
    ]
    assert session._summary([row(1.0, math.nan)])[0] == "1 check, 1 agree, in 1.0 s"
    assert session._summary([]) == []
