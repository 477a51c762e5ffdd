"""Renders the recording of a training as one page to walk through."""

import base64
import json
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compare import files
from compare.report.html import page

__all__ = ["render", "write"]

_PACKED = (
    "w", "b", "dw", "db", "z", "a", "da", "dz", "slope", "loss", "loss_of_each", "probability",
    "norm", "apart",
)  # fmt: skip
"""The arrays of a recording; the page has them as float32, of which it shows up to 7 digits."""


def write(path: Path, document: dict[str, Any]) -> None:
    """Writes the page of a recording, whole or not at all.

    Args:
        path: of the file.
        document: the document of `explain`, whose one result is the recording.

    Raises:
        ImportError: Jinja2 is not installed.
        OSError: the file cannot be written; what it held before is untouched.
    """
    with files.replacing(path) as file:
        file.write(render(document).encode())


def render(document: dict[str, Any]) -> str:
    """Renders the page as text.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    (recording,) = document["results"]
    script = (page.TEMPLATES / "explain.js").read_text(encoding="utf-8")
    own = (page.TEMPLATES / "explain.css").read_text(encoding="utf-8")
    packed = json.dumps(_packed(recording), ensure_ascii=False, separators=(",", ":"))
    return page.template("explain.html.jinja", whole=True).render(
        policy=page.policy(script),
        script=script,
        style=page.style() + own,
        recording=recording,
        data=packed.replace("<", "\\u003c"),
        environment=document["environment"],
        reproduce=document["reproduce"],
    )


def _packed(value: Any, name: str = "") -> Any:
    """Packs the arrays of a recording, which would be five times as long in decimal digits."""
    if name in _PACKED and isinstance(value, list):
        numbers = array("f", _flat(value))
        if sys.byteorder == "big":
            numbers.byteswap()
        return {"shape": _shape(value), "base64": base64.b64encode(numbers.tobytes()).decode()}
    if isinstance(value, dict):
        return {key: _packed(entry, key) for key, entry in value.items()}
    return [_packed(entry) for entry in value] if isinstance(value, list) else value


def _flat(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for entry in value:
            yield from _flat(entry)
    else:
        yield value


def _shape(value: Any) -> list[int]:
    return [len(value), *_shape(value[0])] if isinstance(value, list) else []
