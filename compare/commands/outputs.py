"""Writes the results of a command, as JSON and as a page, as they come and in the end."""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from compare.commands.interruption import ending_with
from compare.commands.options import UsageError, require_writable
from compare.escapes import escaped
from compare.files import WriteError
from compare.problems import Derivation, each_once
from compare.report import html, json_file, plots

__all__ = ["Growing", "command_line", "require", "save", "tell", "write_all"]

command_line: ContextVar[str] = ContextVar("command_line", default="")
"""The command line as it was typed; a document states the one that repeats it."""


def require(
    *, json: Path | None = None, report: Path | None = None, option: str = "--report"
) -> None:
    """Refuses files that cannot be written, before the work is done.

    Args:
        json: the file of `--json`.
        report: the file of `--report`.
        option: the command's option that names the file of the report.

    Raises:
        UsageError: a file is a folder, its folder does not exist, both are one file, or a library
            that the report needs is not installed.
        WriteError: it was tried to write a file, and it cannot be.
    """
    if json is not None and report is not None and json.absolute() == report.absolute():
        raise UsageError(f"--json and {option} are both {json}: give each a file of its own")
    require_writable("--json", json)
    require_writable(option, report)
    needed = ("jinja2", "matplotlib")
    missing = " and ".join(name for name in needed if importlib.util.find_spec(name) is None)
    if report is not None and missing:
        raise UsageError(f"{option} {report}: needs {missing}; {plots.INSTALL_REPORT}")


def save(
    command: str,
    environment: dict[str, Any],
    results: Sequence[dict[str, Any]],
    *,
    json: Path | None = None,
    report: Path | None = None,
    derivations: Iterable[Derivation] = (),
) -> None:
    """Builds the document of a command's results, and writes it to the files asked for.

    Args:
        command: the name of the command.
        environment: where the results come from, see `json_file.environment`.
        results: in JSON's types.
        json: the file for the document; None to write none.
        report: the file for a page that shows the document; None to write none.
        derivations: those of the rules used.

    Raises:
        WriteError: a file cannot be written; what it held before is untouched.
    """
    document = json_file.document(
        command, environment, results, reproduce=command_line.get(),
        derivations=each_once(derivations),
    )  # fmt: skip
    write_all(
        lambda: json is None or json_file.write(json, document),
        lambda: report is None or html.write(report, [document]),
    )


def write_all(*writes: Callable[[], object]) -> None:
    """Writes each of several files, whichever of them fails: what was computed is not lost.

    Raises:
        WriteError: of the first that failed.
    """
    failures: list[WriteError] = []
    for write in writes:
        try:
            write()
        except WriteError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def tell(console: Console, *files: Path | str | None) -> None:
    """Prints which files were written, as the last line; nothing where there are none."""
    names = ", ".join(str(file) for file in files if file is not None)
    if names:
        console.print(escaped(f"WROTE: {names}"), markup=False, soft_wrap=True)


class Growing:
    """The results of a command as they come: whenever it is stopped, `--json` holds what is done.

    As a context it says on Ctrl-C and SIGTERM where that is.

    Args:
        command: the name of the command.
        environment: where the results come from, see `json_file.environment`.
        json: the file for the document; None to write none.
        report: the file for a page, which is written in the end; None to write none.
        derivations: those of the rules used.

    Attributes:
        results: those that are there, in JSON's types.
    """

    def __init__(
        self,
        command: str,
        environment: dict[str, Any],
        *,
        json: Path | None = None,
        report: Path | None = None,
        derivations: Iterable[Derivation] = (),
    ):
        self.results: list[dict[str, Any]] = []
        self._command, self._environment = command, environment
        self._json, self._report, self._derivations = json, report, list(derivations)
        self._written = False
        self._signals = ending_with(self._note)

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Takes further results, and writes all that are there to `--json`.

        Raises:
            WriteError: the file cannot be written.
        """
        self.results += rows
        self._save(report=None)
        self._written = self._json is not None

    def finish(self, console: Console, *further: Path | None) -> None:
        """Writes the whole to both files, and prints where that and what else was written is.

        Raises:
            WriteError: a file cannot be written.
        """
        self._save(report=self._report)
        tell(console, self._json, self._report, *further)

    def _save(self, *, report: Path | None) -> None:
        save(
            self._command, self._environment, self.results, json=self._json, report=report,
            derivations=self._derivations,
        )  # fmt: skip

    def _note(self) -> str:
        return escaped(f"what is done is in {self._json}") if self._written else ""

    def __enter__(self) -> Self:
        self._signals.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._signals.__exit__(kind, error, traceback)
