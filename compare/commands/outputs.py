"""Writes the results of a command, as JSON and as a page."""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from compare.commands.options import UsageError, require_writable
from compare.files import WriteError
from compare.problems import Derivation, each_once
from compare.report import html, json_file, plots

__all__ = ["command_line", "require", "save", "write_all"]

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
        UsageError: a file is a folder, its folder does not exist, or a library that the report
            needs is not installed.
        WriteError: it was tried to write a file, and it cannot be.
    """
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
