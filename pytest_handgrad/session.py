"""The checks of a session of tests: gathered from the log, written, and summed up."""

import logging
import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Session"]

Row = dict[str, Any]

_LOGGER = logging.getLogger("handgrad.checks")


_ATTRIBUTE = "handgrad_checks"
"""Of a test's report: what it has travels to the process that shows it."""

_LISTENING = logging.DEBUG - 1
"""The log's level while nobody but us has set one."""


class Session(logging.Filter):
    """Listens to the log of checks; each test's own travel with its report to where it is shown.

    So nothing is different when the tests run in other processes, as with pytest-xdist.

    Args:
        config: of the session.
        page: the file for a page of every check; None to write none.
        json: the file for their JSON; None to write none.
    """

    def __init__(self, config: pytest.Config, page: Path | None, json: Path | None):
        super().__init__()
        self._config = config
        self._files = {".html": page, ".json": json}
        self._noticed: list[Any] = []
        self._rows: list[Row] = []
        self._level = _LOGGER.level
        _LOGGER.addFilter(self)
        _LOGGER.setLevel(_LISTENING)

    def filter(self, record: logging.LogRecord) -> bool:
        """Notes a check; tells whether the log would have had it without us.

        A test that fails shows what was logged, and the report is in its message already.
        """
        self._noticed.append(record)
        parent = _LOGGER.parent or logging.root
        level = parent.getEffectiveLevel() if _LOGGER.level == _LISTENING else _LOGGER.level
        return record.levelno >= level

    def pytest_unconfigure(self) -> None:
        """Leaves the log as it was."""
        _LOGGER.removeFilter(self)
        _LOGGER.setLevel(self._level)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Gives a test's checks to its report; a failed check shows its own report alone."""
        report = yield
        noticed, self._noticed = self._noticed, []
        whole = any(self._files.values())
        rows = [_row(own.check, item.nodeid, whole) for own in noticed]
        setattr(report, _ATTRIBUTE, rows)
        headlines = [own.check.report.headline for own in noticed if not own.check.report.agree]
        if (
            call.excinfo is not None
            and call.excinfo.errisinstance(AssertionError)
            and str(call.excinfo.value).startswith(tuple(headlines))
        ):
            if self._config.getoption("tbstyle") == "auto":
                report.longrepr = call.excinfo.getrepr(
                    style="short",
                    tbfilter=lambda info: info.traceback.cut(path=item.path).filter(info),
                )
            _put_the_verdict_first(report.longrepr)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collects the checks of a test, which may have run in another process."""
        self._rows += getattr(report, _ATTRIBUTE, [])

    def pytest_sessionfinish(self) -> None:
        """Writes the files; in one process alone, where there are several."""
        files = [file for file in self._files.values() if file is not None]
        if not files or not self._rows or hasattr(self._config, "workerinput"):
            return
        from compare.report import checks

        derivations = [own for row in self._rows for own in row.pop("derivations")]
        for suffix, file in self._files.items():
            if file is not None:
                checks.save(file, self._rows, derivations, suffix=suffix)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says how many checks there were, which was the slowest, and which sees least."""
        written = [str(file) for file in self._files.values() if file is not None]
        if self._rows or written:
            terminalreporter.section("handgrad")
        for line in _summary(self._rows):
            terminalreporter.write_line(line)
        if written:
            done = "written to" if self._rows else "no check ran; not written:"
            terminalreporter.write_line(f"{done} {' and '.join(written)}")


def _put_the_verdict_first(shown: Any) -> None:
    """Leaves `AssertionError` out of the line of the summary, which is cut at 80 columns."""
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        crash.message = crash.message.removeprefix("AssertionError: ")


def _row(check: Any, test: str, whole: bool) -> Row:
    """Turns a check into Python's own types, with all of its report or what the summary needs."""
    report = check.report
    own = {"test": test, "seed": int(check.seed), "seconds": float(check.seconds)}
    if whole:
        return {**report.to_dict(), **own, "derivations": list(report.derivations)}
    return {**own, "agree": report.agree, "detectable": float(report.detectable)}


def _summary(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    agreed = sum(row["agree"] for row in rows)
    count = "1 check" if len(rows) == 1 else f"{len(rows)} checks"
    slowest = max(rows, key=lambda row: row["seconds"])
    lines = [
        f"{count}, {agreed} agree, in {sum(row['seconds'] for row in rows):.1f} s",
        f"slowest: {slowest['seconds']:.2f} s, {slowest['test']}",
    ]
    seeing = [row for row in rows if row["agree"] and _finite(row["detectable"])]
    if seeing:
        weakest = max(seeing, key=lambda row: row["detectable"])
        lines.append(f"weakest: sees an error of {weakest['detectable']:.0e}, {weakest['test']}")
    return lines


def _finite(number: Any) -> bool:
    return isinstance(number, int | float) and math.isfinite(number)
