"""What a command leaves behind: its results as JSON, and as a page."""

import importlib.util
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from compare.commands.options import UsageError, require_writable
from compare.problems.derivations import Derivation, each_once
from compare.report import json_file
from compare.report.html import page as html_report
from compare.report.plots.figures import INSTALL_REPORT

__all__ = ["command_line", "require", "save"]

command_line: ContextVar[str] = ContextVar("command_line", default="")
"""What was typed, which a document says of itself."""


def require(*, json: Path | None = None, report: Path | None = None, option: str = "--report"):
    """Refuses files that cannot be written, before the work is done.

    Args:
        json: the file of `--json`.
        report: the file of `--report`.
        option: what the command calls the latter.

    Raises:
        UsageError: the folder is not there, or what draws the report is not installed.
    """
    require_writable("--json", json)
    require_writable(option, report)
    needed = ("jinja2", "matplotlib")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if report is not None and missing:
        raise UsageError(f"{option} {report}: needs {' and '.join(missing)}; {INSTALL_REPORT}")


def save(
    command: str,
    environment: dict[str, Any],
    results: Sequence[dict[str, Any]],
    *,
    json: Path | None = None,
    report: Path | None = None,
    derivations: Iterable[Derivation] = (),
) -> None:
    """Builds the document of a command's results once, and writes it where it is asked for.

    Args:
        command: its name.
        environment: where the results come from.
        results: in JSON's types.
        json: write the document to this file.
        report: write a page that shows it to this file.
        derivations: of the rules used.

    Raises:
        OSError: a file cannot be written; what was there before is untouched.
    """
    document = json_file.document(
        command, environment, results, reproduce=command_line.get(),
        derivations=each_once(derivations),
    )  # fmt: skip
    if json is not None:
        json_file.write(json, document)
    if report is not None:
        html_report.write(report, [document])
