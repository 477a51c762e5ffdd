"""Results as one JSON object in a file."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from compare.report import files

__all__ = ["environment", "write"]

SCHEMA_VERSION = 1


def environment(matmul_precision: str) -> dict[str, Any]:
    """Where the results come from: the devices and the versions."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        **{name: version(name) for name in ("jax", "jaxlib", "numpy")},
        "python": platform.python_version(),
        "matmul_precision": matmul_precision,
    }


def write(
    path: Path, command: str, environment: dict[str, Any], results: Sequence[dict[str, Any]]
) -> None:
    """Writes the file whole or not at all.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "environment": environment,
        "results": list(results),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with files.replacing(path) as file:
        file.write(text.encode())
