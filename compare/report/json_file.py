"""Writes and reads results as one JSON object: the file of `--json`, and the page's source."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from compare import files

__all__ = ["document", "environment", "read", "write"]

SCHEMA_VERSION = 1

_FIELDS: dict[str, set[str]] = {
    "gradients": {"problem", "model", "dataset", "verdict", "agree", "leaves", "loss", "dtype"},
    "train": {"problem", "model", "dataset", "method", "history", "confusion"},
    "bench": {"model", "batch", "engine", "ratio", "ratio_low", "ratio_high", "median_ms"},
    "articles": {"article", "claim", "method", "claimed", "measured", "holds"},
    "mutants": {"mutant", "expected", "detected", "verdict", "named", "confirmed", "right"},
    "check": {"verdict", "agree", "leaves", "loss", "dtype", "platform", "precision"},
}
"""The commands that write results, and the fields that each of their results must have."""


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
        OSError: the file cannot be written; what it held before is untouched.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with files.replacing(path) as file:
        file.write(text.encode())


def read(path: Path) -> dict[str, Any]:
    """Reads a document that `write` wrote, in this version or an earlier one; or one report.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not such a document; the message says why.
    """
    found = _documented(json.loads(path.read_text(encoding="utf-8")))
    if not isinstance(found, dict) or str(found.get("command")) not in _FIELDS:
        raise ValueError(f"no results of {', '.join(_FIELDS)}")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema version {found.get('schema_version')}, not {SCHEMA_VERSION}")
    results, where = found.get("results"), found.get("environment")
    if not (isinstance(results, list) and results and isinstance(where, dict)):
        raise ValueError("no results, or no environment that they come from")
    if not all(isinstance(row, dict) for row in results):
        raise ValueError("a result is no object")
    missing = [_FIELDS[found["command"]] - set(row) for row in results]
    if any(missing):
        raise ValueError(f"a result lacks {', '.join(sorted(set().union(*missing)))}")
    return found


def _documented(found: Any) -> Any:
    """Makes a document of one report, which is what `GradientReport.to_dict` gives."""
    if not isinstance(found, dict) or "command" in found or not _FIELDS["check"] <= set(found):
        return found
    names = {"platform": "platform", "device_kind": "device_kind", "matmul_precision": "precision"}
    where = {name: found[own] for name, own in names.items() if own in found}
    return document("check", where, [found])
