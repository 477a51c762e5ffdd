"""Writes and reads results as one JSON object: the file of `--json`, and the page's source."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from compare import files
from compare.report.schema import validated

__all__ = ["document", "environment", "read", "write"]

SCHEMA_VERSION = 1

MOST_BYTES = 1 << 26
"""The size of the largest file that is read: 64 MiB."""


def environment(matmul_precision: str) -> dict[str, Any]:
    """Describes where results come from: the devices and the versions."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        **{name: version(name) for name in ("jax", "jaxlib", "numpy")},
        "python": platform.python_version(),
        "matmul_precision": matmul_precision,
    }


def document(
    command: str,
    environment: dict[str, Any],
    results: Sequence[dict[str, Any]],
    *,
    reproduce: str = "",
    derivations: Sequence[dict[str, str]] = (),
) -> dict[str, Any]:
    """Builds the JSON object of one command.

    Args:
        command: the name of the command.
        environment: as `environment` returns it.
        results: in JSON's types.
        reproduce: the command line that gives the same results.
        derivations: those of the rules used: `rule`, and the docstrings `about`, `fwd` and `bwd`.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "reproduce": reproduce,
        "environment": environment,
        "results": list(results),
        "derivations": list(derivations),
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Writes a document to a file, whole or not at all.

    Raises:
        WriteError: the file cannot be written; what it held before is untouched.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with files.replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def read(path: Path) -> dict[str, Any]:
    """Reads a document that `write` wrote, in this version or an earlier one; or one report.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: the file is not such a document; the message says why.
    """
    with files.open_regular(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
    return validated(content)
